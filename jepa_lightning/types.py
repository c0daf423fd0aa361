# B batch, C channels, H W height and width, T frames, D width, N tokens, M target blocks, Kc Kt kept tokens
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
        labels: ``[B]``, or a dict of ``[B]`` where an image has several; only probes read them; -1 is unlabelled.
        paths: where each sample came from, or empty; only ``predict`` reads them.
    """

    views: list[Tensor]
    masks: tuple[Masks, ...] = ()
    labels: Labels | None = None
    paths: tuple[str, ...] = ()


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
