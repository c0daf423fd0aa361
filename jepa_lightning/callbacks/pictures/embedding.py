# S samples, D width, P panels, H W height and width
"""A map of the features of many samples in two dimensions."""

from importlib.util import find_spec
from typing import Annotated, Literal, NamedTuple

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.pictures.base import Picture
from jepa_lightning.callbacks.pictures.class_labels import WHERE, class_name
from jepa_lightning.callbacks.pictures.features import Portraits, portraits
from jepa_lightning.callbacks.pictures.plots import as_image, missing_matplotlib, new_figure
from jepa_lightning.callbacks.probes.loaders import validation_loader
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.options import Interval, PositiveInt, check_options

LEAST = 5  # samples below which there is no map
NEIGHBORS = 30  # perplexity of t-SNE, or a third of the samples where these are few
IN_LEGEND = 20  # classes
MARKERS = "os^Dvp"  # of the first ten classes, the next ten, ...
SPRITE = 32  # pixels of a side in the projector


class _Found(NamedTuple):
    samples: Portraits
    names: dict[int, str]  # of the classes


class EmbeddingPlot(Picture):
    """Draws the features of validation samples in two dimensions, colored by class, and fills TensorBoard's projector.

    Near points have near features; distances between far groups say little, and groups may be an effect of the method:
    see Wattenberg, Viegas, Johnson, "How to use t-SNE effectively", 2016. The samples are the same at every step. In
    TensorBoard's projector, which has the features themselves, each point is its image. Needs matplotlib, from the
    extra ``examples``.

    Args:
        every_n_steps: optimizer steps between pictures; None draws before the first step and after each quarter of the
            run, or every 1,000 steps where its length is not known. The end of the run is drawn in any case.
        num_images: validation samples, or as many as there are, but not fewer than 5.
        method: ``tsne``, of scikit-learn, with a perplexity of 30, or of a third of few samples; or ``umap``, where
            umap-learn is installed, with 15 neighbors.
        label: name of the label that colors are about, where there are several; None takes the first one of classes.
        features: dotted name of a submodule, which is called on the images; None is for a ``JEPAModule``.
        labels: index or key of the labels in the batch; batches without any are drawn in one color.
        images: index or key of the images in the batch: a tensor, or a sequence of views.
        name: of the files, and of the tensors in the projector; two of these need two names.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import EmbeddingPlot
        >>> trainer = Trainer(callbacks=[EmbeddingPlot(features="backbone", num_images=500)])
    """

    name = "embedding"

    def __init__(
        self,
        every_n_steps: PositiveInt | None = None,
        num_images: Annotated[int, Interval(f"[{LEAST}, 1e9]")] = 400,
        method: Literal["tsne", "umap"] = "tsne",
        label: str | None = None,
        features: str | None = None,
        labels: Item = WHERE,
        images: Item = 0,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        if method not in MAKERS:
            raise ValueError(f"EmbeddingPlot: there is no method '{method}': choose one of {', '.join(MAKERS)}.")
        super().__init__(every_n_steps, num_images, name, Source(type(self).__name__, features, labels, images))
        self.size, self.method, self.label = num_images, method, label

    def missing(self) -> str | None:
        """Matplotlib, and umap where it is asked for."""
        if self.method == "umap" and not find_spec("umap"):
            return "method='umap' needs umap-learn, which is not installed: pip install umap-learn, or take 'tsne'."
        return missing_matplotlib()

    def measure(self, trainer: Trainer, module: LightningModule) -> _Found:
        """Features and classes."""
        loader = validation_loader(type(self).__name__, trainer)
        found = portraits(trainer, module, self.source, loader, self.size, self.label)
        if len(found.features) < LEAST:
            raise ValueError(f"a map needs {LEAST} samples, and there are {len(found.features)}: leave it out")
        classes = sorted(set(found.classes.tolist()))
        return _Found(found, {index: class_name(trainer, found.label, index) for index in classes if index >= 0})

    def draw(self, found: _Found, step: int) -> Image.Image:
        """Points in the colors of their classes."""
        samples, names = found
        places = MAKERS[self.method](samples.features.numpy())
        if not np.isfinite(places).all():
            raise ValueError("the features of all samples are alike, so there is no map of them")
        figure, axes = new_figure(7.0, 5.0)
        for number, index in enumerate([*names, -1]):
            (rows,) = np.nonzero(samples.classes.numpy() == index)
            color = f"C{number % 10}" if index >= 0 else "0.6"
            label = names.get(index, "unlabeled") if len(rows) and names else None
            axes.scatter(
                places[rows, 0],
                places[rows, 1],
                s=14,
                color=color,
                marker=MARKERS[number // 10 % len(MARKERS)],
                label=label,
            )
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_title(f"{TITLES[self.method]} of {len(places)} validation features (step {step})", fontsize="medium")
        if names and len(names) <= IN_LEGEND:
            figure.legend(loc="outside right upper", title=samples.label or None, fontsize="small", frameon=False)
        return as_image(figure)

    def send(self, trainer: Trainer, found: _Found) -> None:
        """Features, names of classes and images to TensorBoard's projector."""
        samples, names = found
        images: Tensor = resize(samples.thumbnails[:, 0], [SPRITE, SPRITE], antialias=True).float() / 255
        metadata = [names.get(index, "unlabeled") for index in samples.classes.tolist()]
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_embedding(
                    samples.features, metadata, images, global_step=trainer.global_step, tag=self.name
                )


def _tsne(features: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(NEIGHBORS, (len(features) - 1) / 3)
    places: np.ndarray = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(features)
    return places


def _umap(features: np.ndarray) -> np.ndarray:
    from umap import UMAP

    places: np.ndarray = UMAP(n_neighbors=min(15, len(features) - 1), random_state=0).fit_transform(features)
    return places


MAKERS = {"tsne": _tsne, "umap": _umap}
TITLES = {"tsne": "t-SNE", "umap": "UMAP"}
