# B batch, C channels, H W height and width
"""Samples to a Batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jepa_lightning.data.extras import stack_extras
from jepa_lightning.data.labels import stack_labels
from jepa_lightning.masking import MaskSampler
from jepa_lightning.types import Batch, Sample

Views = list[Tensor]


@dataclass(frozen=True)
class Collate:
    """Makes a Batch of samples, and draws its masks.

    A sample is an image tensor ``[C, H, W]`` or a list of views of it, alone or with its labels, and with a path as a
    third; so the samples of an ordinary data set whose transform ends in a tensor fit. `stack_labels` says which labels
    there are. A ``Sample`` may have extras too, of the same names and shapes in all samples.
    Masks come from torch's global generator, which in a worker is the worker's own.

    Args:
        masks: one sampler for each set of masks in the batch.

    Example:
        >>> import torch
        >>> from jepa_lightning.data import Collate
        >>> from jepa_lightning.masking import RandomMask
        >>> collate = Collate((RandomMask((4, 4), 0.75),))
        >>> batch = collate([(torch.zeros(3, 32, 32), label) for label in (0, 1)])
        >>> batch.views[0].shape, batch.labels.tolist(), batch.masks[0].context.shape
        (torch.Size([2, 3, 32, 32]), [0, 1], torch.Size([2, 4]))
    """

    masks: tuple[MaskSampler, ...] = ()

    def __call__(self, samples: Sequence[Any], sizes: torch.Generator | None = None) -> Batch:
        """Stacks samples into a Batch.

        Args:
            samples: of one batch.
            sizes: where the sizes of masked blocks come from; the same on all ranks gives them equal work.

        Raises:
            TypeError: if a sample is not of the form above.
            ValueError: if a sample has more parts than these, or a third one that is no path; if the views of the
                samples differ in size or number; if labels are not of one kind that is known; if extras differ.
        """
        parts = [_split(sample) for sample in samples]
        views = [part.media for part in parts]
        if len({tuple(view.shape for view in v) for v in views}) > 1:
            shapes = sorted({str([tuple(view.shape) for view in v]) for v in views})
            raise ValueError(
                f"the images of one batch have different sizes, {' and '.join(shapes[:2])}: "
                "give the data set the module's own transform, module.pipeline().transform."
            )
        return Batch(
            views=[torch.stack(view) for view in zip(*views, strict=True)],
            masks=tuple(sampler(len(samples), sizes=sizes) for sampler in self.masks),
            labels=stack_labels([part.labels for part in parts]),
            paths=tuple("" if part.path is None else str(part.path) for part in parts),
            extras=stack_extras([part.extras or {} for part in parts]),
        )


def _split(sample: Any) -> Sample:
    """A sample with the list of its views.

    Raises:
        TypeError: if its image is neither a tensor nor a list of tensors.
        ValueError: if it has more than these three parts, or a third one that is no path.
    """
    parts = sample if isinstance(sample, tuple) else (sample,)
    extras = sample.extras if isinstance(sample, Sample) else None
    views, labels, path = (*parts, None, None)[:3]
    form = ", ".join(type(part).__name__ for part in parts)
    if isinstance(views, Tensor):
        views = [views]
    if not (isinstance(views, list) and views and all(isinstance(view, Tensor) for view in views)):
        raise TypeError(
            f"a sample must be an image tensor or a list of views, alone or with labels, not ({form}): "
            "give the data set the module's own transform, module.pipeline().transform."
        )
    if len(parts) > 3 and not isinstance(sample, Sample):
        raise ValueError(
            f"a sample has {len(parts)} parts, ({form}), and only (image, labels, path) are used: drop the others in "
            "the data set, put what is a label into a dict of labels, and other numbers into the extras of a "
            "jepa_lightning.types.Sample."
        )
    if path is not None and not isinstance(path, (str, Path)):
        raise ValueError(
            f"the third part of a sample is its path, text or None, and is {type(path).__name__} in ({form}): drop it "
            "in the data set, or put what is a label into a dict of labels."
        )
    return Sample(views, labels, path, extras)
