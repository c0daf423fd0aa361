# B batch, K numbers of a label
"""Fine-tuning: a head with the whole encoder, and beside it the head alone, from the same start."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.utilities.seed import isolate_rng

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.evaluation.feature_cache import UNNAMED
from jepa_lightning.evaluation.figures import Tally
from jepa_lightning.evaluation.tasks import Grid, Record, Settings, Task
from jepa_lightning.evaluation.training import copied_encoder, fit_in
from jepa_lightning.features import eval_mode
from jepa_lightning.modules import Classifier, JEPAModule
from jepa_lightning.probing.label_kinds import in_form
from jepa_lightning.types import Batch

# published: I-JEPA (arXiv 2301.08243), appendix A.2, of the full fine-tuning
RECIPES: dict[Grid, dict[str, Any]] = {
    "quick": {"epochs": 10, "lr": 1e-3, "layer_decay": 0.75, "crop_scale": (0.6, 1.0), "flip": 0.0},
    "published": {
        "epochs": 50, "lr": 1e-3, "layer_decay": 0.75, "weight_decay": 0.05, "mixup": 0.8, "cutmix": 1.0,
        "label_smoothing": 0.1, "randaugment": 9, "drop_path": 0.25, "crop_scale": (0.08, 1.0),
    },
}  # fmt: skip
OF_LAYERS = ("layer_decay", "drop_path")  # options that a frozen encoder has no use for


@dataclass(frozen=True)
class FineTuning:
    """Trains a ``Classifier`` on all labels at once.

    Attributes:
        module: whose ``eval_encoder`` is the start.
        data: builds the DataModule, which shows its training samples as the classifier asks for.
        test: batches of the test samples, whose outputs are averaged over views.
        folder: for checkpoints, from which a run that was killed resumes.
        options: of ``Classifier``, and ``epochs``, in the place of the recipe's; ``ema`` is the decay of an average of
            the weights, which is evaluated.
    """

    module: JEPAModule
    data: Callable[[], JEPADataModule]
    test: Iterable[Batch]
    folder: Path
    options: Mapping[str, Any]

    def records(self, tasks: list[Task], settings: Settings) -> dict[str, Record]:
        """Metrics of each label after the last step, with ``head_only``, the main one of a head on frozen features."""
        full, frozen = (self._tallies(tasks, settings, freeze) for freeze in (False, True))
        return {
            name: {
                **full[name].figures(settings.seed),
                "head_only": frozen[name].value,
                "options": self._recipe(settings),
            }
            for name in full
        }

    def _recipe(self, settings: Settings) -> dict[str, Any]:
        return {**RECIPES[settings.grid], **self.options}

    def _tallies(self, tasks: list[Task], settings: Settings, freeze: bool) -> dict[str, Tally]:
        recipe = self._recipe(settings)
        epochs, ema = recipe.pop("epochs"), recipe.pop("ema", None)
        recipe = {name: value for name, value in recipe.items() if not (freeze and name in OF_LAYERS)}
        with isolate_rng(include_cuda=False):
            torch.manual_seed(settings.seed)
            classifier = self._classifier(tasks, recipe, freeze)
            self._train(classifier, self.data(), epochs, ema, settings, "head" if freeze else "full")
        classifier.to(settings.device)
        found = {task.name: Tally(task.kind, torch.device("cpu")) for task in tasks}
        with torch.no_grad(), eval_mode(classifier):
            for batch in self.test:
                views = [classifier(view.to(settings.device)) for view in batch.views]
                labels = batch.labels if isinstance(batch.labels, dict) else {UNNAMED: batch.labels}
                for task in tasks:
                    if (target := labels.get(task.name)) is not None:
                        outputs = [view[task.name] if isinstance(view, dict) else view for view in views]
                        mean = torch.stack(outputs).mean(dim=0).float().cpu()
                        found[task.name].add(mean, in_form(task.kind, target))
        return found

    def _classifier(self, tasks: list[Task], recipe: Mapping[str, Any], freeze: bool) -> Classifier:
        sizes = {task.name: task.kind.size for task in tasks}
        return Classifier(
            copied_encoder(self.module, recipe.get("drop_path", 0.0)),
            num_classes=sizes[UNNAMED] if list(sizes) == [UNNAMED] else sizes,
            freeze=freeze,
            **{name: value for name, value in recipe.items() if name != "drop_path"},
        )

    def _train(
        self,
        classifier: Classifier,
        data: JEPADataModule,
        epochs: int,
        ema: float | None,
        settings: Settings,
        name: str,
    ) -> None:
        callbacks = [] if ema is None else [EMAWeightAveraging(decay=ema)]
        fit_in(self.folder / name, classifier, data, settings.device, epochs, callbacks=callbacks)
