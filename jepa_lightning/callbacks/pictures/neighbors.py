# K queries, M training samples in the bank, D width, P panels, H W height and width, k neighbors
"""What the encoder finds alike."""

from typing import NamedTuple

from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.pictures.base import CLIPS, IMAGES, Picture
from jepa_lightning.callbacks.pictures.class_labels import WHERE
from jepa_lightning.callbacks.pictures.colors import RIGHT, WRONG
from jepa_lightning.callbacks.pictures.features import Portraits, portraits
from jepa_lightning.callbacks.pictures.sheet import Color, Row, draw_sheet
from jepa_lightning.callbacks.probes.loaders import training_loader, validation_loader
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.options import PositiveInt, check_options

PLACES = ("nearest", "2nd", "3rd")
FRAMES = 4  # of a clip


class _Found(NamedTuple):
    queries: Portraits
    bank: Portraits
    nearest: Tensor  # [K, k] rows of the bank


class NeighborPictures(Picture):
    """Draws validation images and, below each of them, the training images whose features are nearest to it.

    Nearness is the cosine of pooled features, centered on the training images, as in ``OnlineKNN``. Where samples have
    classes, a neighbor of the same class has a green frame and one of another class a red frame. Training images come
    from the DataModule's ``memory_dataloader``, or from the training loader with its augmentations. Clips are shown as
    strips of four frames.

    Args:
        every_n_steps: optimizer steps between pictures; None draws before the first step and after each quarter of the
            run, or every 1,000 steps where its length is not known. The end of the run is drawn in any case.
        num_images: validation samples to show, or as many as there are; None shows 8 images or 4 clips.
        k: neighbors of each, or as many as there are.
        max_samples: training images to search, which are drawn once and encoded for each picture.
        label: name of the label that frames are about, where there are several; None takes the first one of classes.
        features: dotted name of a submodule, which is called on the images; None is for a ``JEPAModule``.
        labels: index or key of the labels in the batch; batches without any are shown without frames.
        images: index or key of the images in the batch: a tensor, or a sequence of views.
        name: of the files; two of these need two names.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import NeighborPictures
        >>> trainer = Trainer(callbacks=[NeighborPictures(features="backbone", max_samples=1000)])
    """

    name = "neighbors"

    def __init__(
        self,
        every_n_steps: PositiveInt | None = None,
        num_images: PositiveInt | None = None,
        k: PositiveInt = 4,
        max_samples: PositiveInt = 256,
        label: str | None = None,
        features: str | None = None,
        labels: Item = WHERE,
        images: Item = 0,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(every_n_steps, num_images, name, Source(type(self).__name__, features, labels, images))
        self.k, self.max_samples, self.label = k, max_samples, label

    def measure(self, trainer: Trainer, module: LightningModule) -> _Found:
        """Queries, training samples, and which of these are nearest."""
        owner, given = type(self).__name__, (trainer, module, self.source)
        number = self.num_images or IMAGES
        queries = portraits(*given, validation_loader(owner, trainer), number, self.label, FRAMES)
        if self.num_images is None and queries.thumbnails.shape[1] > 1:
            queries = queries.first(CLIPS)
        bank = portraits(*given, training_loader(owner, trainer, module), self.max_samples, self.label, FRAMES)
        mean = bank.features.mean(dim=0)
        cosine = F.normalize(queries.features - mean, dim=1) @ F.normalize(bank.features - mean, dim=1).T
        return _Found(queries, bank, cosine.topk(min(self.k, len(bank.features)), dim=1).indices)

    def draw(self, found: _Found, step: int) -> Image.Image:
        """A row of queries, and one for each place among the neighbors."""
        queries, bank, nearest = found
        rows = [Row("queries", queries.thumbnails)]
        for place, neighbors in enumerate(nearest.unbind(1)):
            frames = [
                _frame(own, other)
                for own, other in zip(queries.classes.tolist(), bank.classes[neighbors].tolist(), strict=True)
            ]
            name = PLACES[place] if place < len(PLACES) else f"{place + 1}th"
            rows.append(Row(name, bank.thumbnails[neighbors], frames))
        framed = any(frame for row in rows for frame in row.frames)
        what = queries.label or "class"
        legend = [(RIGHT, f"same {what}"), (WRONG, f"another {what}")] if framed else []
        return draw_sheet(rows, f"nearest of {len(bank.classes)} training images (step {step})", legend)


def _frame(own: int, other: int) -> Color | None:
    if own < 0 or other < 0:
        return None
    return RIGHT if own == other else WRONG
