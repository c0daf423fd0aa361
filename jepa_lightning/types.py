# B batch, C channels, H W height and width, T frames, D width, N tokens, M target blocks, Kc Kt kept tokens, K labels
"""The three records that travel between data, modules and callbacks."""

from typing import NamedTuple

from torch import Tensor

Labels = Tensor | dict[str, Tensor]


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
    """

    views: list[Tensor]
    masks: tuple[Masks, ...] = ()
    labels: Labels | None = None
    paths: tuple[str, ...] = ()
    indices: tuple[int, ...] = ()


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
