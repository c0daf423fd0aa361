# B batch, C channels, H W height and width, T frames, D width, N tokens, M target blocks, Kc Kt kept tokens, K labels,
# A numbers of an action, S numbers of a state
"""The records that travel between data, modules and callbacks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from torch import Tensor

Labels = Tensor | dict[str, Tensor]


class _NoExtras(dict[str, Tensor]):
    """The empty default of ``Batch.extras``: all batches share it, so that it cannot be written to."""

    def _refuse(self, *args: Any, **options: Any) -> NoReturn:
        raise TypeError("this batch was made without extras: use batch._replace(extras={...}).")

    __setitem__ = __ior__ = update = setdefault = _refuse


NO_EXTRAS: dict[str, Tensor] = _NoExtras()


class Sample(NamedTuple):
    """What a data set may give, and what a transform that ``takes_samples`` takes and returns.

    Plain tuples of the first three stay welcome; extras need this class. In an extra the numbers of one sample keep
    their shape.

    Attributes:
        media: an image, a video or a clip; after the transform its view or the list of its views.
        labels: as `jepa_lightning.data.labels.stack_labels` takes them.
        path: where it came from.
        extras: numbers by name, which follow the sample into ``Batch.extras``. ``actions`` ``[T - 1, A]`` and
            ``states`` ``[T, S]`` belong to the frames of the media: action t is taken at frame t and leads to frame
            t + 1.

    Example:
        >>> import torch
        >>> from jepa_lightning.data import Collate
        >>> from jepa_lightning.types import Sample
        >>> clip, actions = torch.zeros(3, 5, 8, 8), torch.zeros(4, 2)
        >>> batch = Collate()([Sample(clip, extras={"actions": actions})] * 6)
        >>> batch.extras["actions"].shape
        torch.Size([6, 4, 2])
    """

    media: Any
    labels: Any = None
    path: str | Path | None = None
    extras: Mapping[str, Any] | None = None


class Masks(NamedTuple):
    """Indices into the token grid, of equal length inside one batch.

    Attributes:
        context: int64 ``[B, Kc]``, the tokens that the context encoder sees.
        target: int64 ``[B, M, Kt]``, the tokens to predict, in M blocks.
    """

    context: Tensor
    target: Tensor


class Batch(NamedTuple):
    """What a pipeline's collate gives and every module takes.

    Attributes:
        views: each ``[B, C, H, W]`` or ``[B, C, T, H, W]``; one for JEPA and MAE, two for the two-view methods,
            two global and L local ones for multi-crop.
        masks: one for I-JEPA and MAE, several for V-JEPA, none for the two-view methods.
        labels: only probes and ``predict`` read them. None where no sample has any; otherwise one of these kinds, told
            apart by dtype and shape, or a dict of them by name:

            - class indices: int64 ``[B]``, -1 where unlabeled;
            - regression targets: float32 ``[B]`` or ``[B, K]``, NaN where unlabeled;
            - multi-hot vectors of K classes: int64 ``[B, K]`` of 0 and 1, a row of -1 where unlabeled.
        paths: where each sample came from, "" where unknown; as long as the batch, or empty in a batch made by hand;
            only ``predict`` reads them.
        indices: place of each sample in its data set, -1 for one that repeats another to fill the batch; as long as the
            batch, or empty where the loader does not know them; only ``predict`` reads them.
        extras: what else belongs to the samples, by name, each ``[B, ...]``: of a trajectory ``actions`` float32
            ``[B, T - 1, A]``, of which action t is taken at frame t and leads to frame t + 1, and ``states`` float32
            ``[B, T, S]``.

    Example:
        >>> import torch
        >>> from jepa_lightning.types import Batch
        >>> batch = Batch([torch.zeros(8, 3, 4, 4)], labels=torch.arange(8))
        >>> first = batch.take(2)
        >>> first.views[0].shape, first.labels
        (torch.Size([2, 3, 4, 4]), tensor([0, 1]))
    """

    views: list[Tensor]
    masks: tuple[Masks, ...] = ()
    labels: Labels | None = None
    paths: tuple[str, ...] = ()
    indices: tuple[int, ...] = ()
    extras: dict[str, Tensor] = NO_EXTRAS

    def take(self, number: int) -> "Batch":
        """The first samples, with all that belongs to them; the whole batch if it has no more.

        Raises:
            ValueError: if the number is below 0.
        """
        if number < 0:
            raise ValueError(f"a batch was asked for {number} samples: take a number of 0 or above.")
        labels = self.labels
        return Batch(
            views=[view[:number] for view in self.views],
            masks=tuple(Masks(*(index[:number] for index in mask)) for mask in self.masks),
            labels={name: label[:number] for name, label in labels.items()}
            if isinstance(labels, dict)
            else None
            if labels is None
            else labels[:number],
            paths=self.paths[:number],
            indices=self.indices[:number],
            extras={name: extra[:number] for name, extra in self.extras.items()},
        )


class StepOutput(NamedTuple):
    """What an objective gives back.

    Attributes:
        loss: scalar with its graph.
        features: ``[B, D]`` detached by-product for probes; None when no full view was encoded.
        logs: detached scalars by name.
        tokens: ``[B, N, D]`` detached by-product, for probes that pool by attention; None where there is none.
    """

    loss: Tensor
    features: Tensor | None
    logs: dict[str, Tensor]
    tokens: Tensor | None = None
