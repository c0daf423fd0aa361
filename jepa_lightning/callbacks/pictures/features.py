# S samples, D width, C channels, T frames, H W height and width, P panels
"""Pooled features of samples with small pictures of them and their classes."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torchvision.transforms.v2.functional import resize

from jepa_lightning.callbacks.pictures.class_labels import class_labels, joint_labels
from jepa_lightning.callbacks.pictures.shown import colors_of, panels_of, read_shown
from jepa_lightning.callbacks.sources import Source

SIDE = 96  # largest side of a thumbnail


class Portraits(NamedTuple):
    """Some samples.

    Attributes:
        features: float32 ``[S, D]`` on the CPU.
        thumbnails: uint8 ``[S, P, 3, H, W]``.
        label: name of the label, "" if it has none.
        classes: int64 ``[S]``, -1 where unlabeled.
    """

    features: Tensor
    thumbnails: Tensor
    label: str
    classes: Tensor

    def first(self, size: int) -> "Portraits":
        """The first of them."""
        return Portraits(self.features[:size], self.thumbnails[:size], self.label, self.classes[:size])


def portraits(
    trainer: Trainer,
    module: LightningModule,
    source: Source,
    loader: Iterable[Any],
    size: int,
    label: str | None,
    panels: int = 1,
) -> Portraits:
    """A fixed draw of the samples of a loader, encoded.

    Args:
        trainer: knows devices and precision.
        module: what encodes.
        source: where features, images and labels are.
        loader: of any kind.
        size: samples, or as many as there are.
        label: name of one of several labels, or None.
        panels: frames of a clip that are kept.

    Raises:
        ValueError: if there is no sample, if the samples are no images, or if features are not finite.
    """
    features, thumbnails, labels = [], [], []
    for view, batch in read_shown(trainer, module, source, loader, size):
        encoded = source.encode(trainer, module, batch, [view], shared=False)
        features.append(encoded.float().cpu())
        thumbnails.append(_small(panels_of(colors_of(module, view), panels)))
        labels.append(class_labels(source, module, batch, label))
    if not features:
        raise ValueError("the loader gives no sample")
    joint = torch.cat(features)
    if not joint.isfinite().all():
        raise ValueError("the features are not finite: lower the learning rate, or look at the data")
    name, classes = joint_labels(labels, [len(part) for part in features])
    return Portraits(joint, torch.cat(thumbnails), name, classes)


def _small(panels: Tensor) -> Tensor:
    """Panels ``[S, P, 3, H, W]`` of at most 96 pixels a side."""
    share = SIDE / max(panels.shape[-2:])
    if share >= 1:
        return panels.clone()  # not a view of tensors that a worker has sent
    size = [max(1, round(side * share)) for side in panels.shape[-2:]]
    flat: Tensor = resize(panels.flatten(0, 1), size, antialias=True)
    return flat.reshape(*panels.shape[:3], *size)
