# H W height and width of a view
"""Detection with an encoder that is trained with the detector."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch.utils.data import DataLoader

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.collate import Collate
from jepa_lightning.data.dense import BOXES
from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.evaluation.detection import RECIPES, boxes_of, class_names, figures_of
from jepa_lightning.evaluation.detector_module import DetectorModule
from jepa_lightning.evaluation.subjects import Subject
from jepa_lightning.evaluation.tasks import Grid, Record, Settings
from jepa_lightning.evaluation.training import copied_encoder, fit_in
from jepa_lightning.features import eval_mode
from jepa_lightning.options import PositiveShare, check_options
from jepa_lightning.probing.detector import Boxes, Detector
from jepa_lightning.probing.detector_training import DetectorRecipe

FINE_TUNED = "fine-tuned"  # what ``encoder`` of a record is


@dataclass(frozen=True)
class DetectionOptions:
    """Options of the protocol ``detection``.

    Attributes:
        freeze: Whether the encoder stays as it is; otherwise a copy of it is trained with the detector.
        layer_decay: Factor on the learning rate from each layer of the encoder to the one before it, where it is
            trained; None takes that of the grid.

    Raises:
        ValueError: if the factor is out of range, or nothing would use it.
    """

    freeze: bool = True
    layer_decay: PositiveShare | None = None

    def __post_init__(self) -> None:
        check_options(type(self), vars(self))
        if self.freeze and self.layer_decay is not None:
            raise ValueError(
                "layer_decay is for an encoder that is trained: give freeze=False (--detection.freeze false) too."
            )


@dataclass(frozen=True)
class TunedRecipe:
    """How a detector and its encoder are trained.

    Attributes:
        detector: with one variant; the batch is that of the data.
        layer_decay: of the learning rates of the encoder.
        drop_path: of the encoder.
    """

    detector: DetectorRecipe
    layer_decay: float
    drop_path: float = 0.0


TUNED: dict[Grid, TunedRecipe] = {
    "quick": TunedRecipe(RECIPES["quick"], layer_decay=0.75),
    # ViTDet (arXiv 2203.16527), appendix A.2, of ViT-B, without its large-scale jitter
    "published": TunedRecipe(DetectorRecipe(((1e-4, 0.1),), epochs=100), layer_decay=0.7, drop_path=0.1),
}


@dataclass(frozen=True)
class TunedDetection:
    """Trains a detector and a copy of the encoder on the views that the frozen protocol has.

    Attributes:
        subject: whose encoder is the start; it stays as it is.
        data: builds the DataModule.
        loaders: of training and test samples, in the deterministic view and in order.
        folder: for checkpoints, from which a run that was killed resumes.
        settings: of all protocols.
        options: of the protocol.
        names: of the classes of boxes, where the data know them.
    """

    subject: Subject
    data: Callable[[], JEPADataModule]
    loaders: tuple[DataLoader[Any], DataLoader[Any]]
    folder: Path
    settings: Settings
    options: DetectionOptions
    names: Sequence[str] | None = None

    def records(self) -> dict[str, Record]:
        """One record, after the last step, as of the frozen protocol, and ``layer_decay``.

        Raises:
            ValueError: if classes do not fit, or there are no boxes.
        """
        recipe = TUNED[self.settings.grid]
        decay = self.options.layer_decay or recipe.layer_decay
        train, test = ([one for batch in loader for one in boxes_of(batch.extras)] for loader in self.loaders)
        names = class_names(train, test, self.names)
        with isolate_rng(include_cuda=False):
            torch.manual_seed(self.settings.seed)
            module = self._module(recipe, decay, len(names))
            epochs, steps = recipe.detector.epochs, recipe.detector.steps
            fit_in(self.folder, module, self.data(), self.settings.device, epochs, steps)
        rate, weight_decay = module.variant
        return {
            BOXES: {
                **figures_of(self._found(module), test, names, self.settings.seed),
                "encoder": FINE_TUNED,
                "lr": rate,
                "weight_decay": weight_decay,
                "layer_decay": decay,
            }
        }

    def _module(self, recipe: TunedRecipe, decay: float, classes: int) -> DetectorModule:
        assert self.subject.module is not None
        view = next(iter(self.loaders[1])).views[0][:1]
        tokens = self.subject.tokens([view])
        sizes = recipe.detector
        detector = Detector(tokens.shape[2], classes, sizes.channels, sizes.hidden, sizes.regions, sizes.proposals)
        dataset: Any = self.loaders[0].dataset
        return DetectorModule(
            copied_encoder(self.subject.module, recipe.drop_path),
            detector,
            Pipeline(dataset.transform, dataset.transform, Collate()),
            self.subject.grid(view, tokens.shape[1]),
            view.shape[-2:],
            sizes.variants[0],
            decay,
            self.settings.seed,
        )

    def _found(self, module: DetectorModule) -> list[Boxes]:
        module.to(self.settings.device)
        found: list[Boxes] = []
        with torch.no_grad(), eval_mode(module):
            for batch in self.loaders[1]:
                view = batch.views[0].to(self.settings.device)
                found += [{name: each.cpu() for name, each in one.items()} for one in module(view)]
        return found
