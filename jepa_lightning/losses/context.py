# B batch, M target blocks, Kc Kt kept tokens, N tokens of the grid, D width
"""The loss on the tokens that are seen: a prediction of the context itself, beside that of what is masked.

Source: V-JEPA 2.1 (arXiv 2603.14482), the dense predictive loss.
"""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from jepa_lightning.types import Masks

ContextWeights = Literal["distance", "uniform"]


def distance_to_targets(masks: Masks, grid_size: Sequence[int]) -> Tensor:
    """Distance of each context token to the nearest token of each target block, in tokens of the grid.

    Args:
        masks: which tokens are context, and which are target.
        grid_size: tokens along each axis, (rows, columns) or (frames, rows, columns).

    Returns:
        float32 ``[B, M, Kc]``, Euclidean; 1 or more where no token is both.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import distance_to_targets
        >>> from jepa_lightning.types import Masks
        >>> masks = Masks(context=torch.tensor([[0, 1, 9]]), target=torch.tensor([[[2, 3]]]))
        >>> distance_to_targets(masks, (3, 4))  # tokens (0, 0), (0, 1) and (2, 1) to (0, 2) and (0, 3)
        tensor([[[2.0000, 1.0000, 2.2361]]])
    """
    places = torch.cartesian_prod(*(torch.arange(n, device=masks.context.device) for n in grid_size)).float()
    context, target = places[masks.context], places[masks.target]  # [B, Kc, axes], [B, M, Kt, axes]
    # differences, not products: these distances are exact
    pairs = torch.cdist(context[:, None], target, compute_mode="donot_use_mm_for_euclid_dist")
    return pairs.amin(dim=-1)


def context_weights(masks: Masks, grid_size: Sequence[int], weights: ContextWeights = "distance") -> Tensor:
    """Weight of each context token in the loss, beside each target block.

    Args:
        masks: which tokens are context, and which are target.
        grid_size: tokens along each axis.
        weights: ``distance`` is 1 over the root of the distance to the nearest target token, so that what is far from
            all of them, and easily copied, counts less; ``uniform`` is 1.

    Returns:
        float32 ``[B, M, Kc]``.

    Raises:
        ValueError: if there are no such weights.
    """
    if weights not in get_args(ContextWeights):
        raise ValueError(
            f"there are no context_weights '{weights}': choose one of {', '.join(get_args(ContextWeights))}."
        )
    distance = distance_to_targets(masks, grid_size)
    return distance.clamp_min(1.0).rsqrt() if weights == "distance" else torch.ones_like(distance)


def context_loss(
    predicted: Tensor,
    tokens: Tensor,
    masks: Masks,
    grid_size: Sequence[int],
    distance: Callable[[Tensor, Tensor], Tensor],
    weights: ContextWeights = "distance",
) -> Tensor:
    """Mean over context tokens of the weighted distance between what is predicted of each and its target.

    Args:
        predicted: ``[B, M, Kc, D]``, beside each target block.
        tokens: ``[B, N, D]`` targets of the whole view.
        masks: which tokens are context, and which are target.
        grid_size: tokens along each axis.
        distance: of predictions to targets ``[B, M, K, D]``, to one a sample, ``[B]``.
        weights: as of ``context_weights``.

    Returns:
        A scalar.
    """
    index = masks.context.unsqueeze(-1).expand(-1, -1, tokens.shape[-1])
    target = tokens.gather(1, index)[:, None].expand_as(predicted)
    # each token stands alone as a sample with one target
    each = distance(*(part.reshape(-1, 1, 1, tokens.shape[-1]) for part in (predicted, target)))
    return (each * context_weights(masks, grid_size, weights).flatten()).mean()


def context_share(progress: float, warmup: tuple[float, float]) -> float:
    """The share of its weight that the loss on the context has: 0 up to a moment, 1 from another on, a line between.

    Args:
        progress: share of the run that is done.
        warmup: the two moments, as shares of the run.
    """
    start, end = warmup
    if progress >= end:
        return 1.0
    return max(0.0, (progress - start) / (end - start)) if progress > start else 0.0
