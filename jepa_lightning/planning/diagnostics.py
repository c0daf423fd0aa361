# B windows, T frames, H steps, T0 frames of history, A dimension of an action, P of a position, N pairs
"""Why a plan may fail: how far rollouts can be trusted, and whether nearer in representation is nearer in the world."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics.functional import spearman_corrcoef

from jepa_lightning.planning.latent import LatentModel


class RolloutErrors(NamedTuple):
    """Squared errors of a rollout after 1 to H steps, in units of the variance of the states.

    Attributes:
        true: ``[H]``, with the actions that were taken.
        shuffled: ``[H]``, with those of another window.
        none: ``[H]``, with actions of zero.
        still: ``[H]``, of the last known state, without a model.
    """

    true: Tensor
    shuffled: Tensor
    none: Tensor
    still: Tensor


@torch.no_grad()
def rollout_errors(model: LatentModel, frames: Tensor, actions: Tensor, history: int = 1) -> RolloutErrors:
    """How the error of a rollout grows with the horizon, and how much of it the actions explain.

    Args:
        model: in eval mode.
        frames: uint8 ``[B, T, H, W, C]``, at least 2 windows.
        actions: ``[B, T - 1, A]``, those that led from each frame to the next.
        history: T0, frames that are known; H is T - T0.

    Raises:
        ValueError: if there are fewer than 2 windows, or no frame to predict.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import rollout_errors
        >>> class Point:  # sees its position, and moves by half of each action
        ...     def clip(self, frames):
        ...         return frames.float().movedim(4, 1)
        ...     def encode(self, clip):
        ...         return clip.flatten(3).mean(dim=3).movedim(1, 2)
        ...     def rollout(self, history, actions, past_actions=None):
        ...         return history[:, -1:] + 0.5 * actions.cumsum(dim=1)
        >>> actions = torch.tensor([[[2.0], [2.0]], [[4.0], [0.0]]])
        >>> places = 10 + torch.cat([torch.zeros(2, 1, 1), 0.5 * actions.cumsum(dim=1)], dim=1)
        >>> frames = places[..., None, None].expand(2, 3, 4, 4, 1).to(torch.uint8)
        >>> errors = rollout_errors(Point(), frames, actions)
        >>> errors.true.tolist(), errors.none.tolist() == errors.still.tolist()
        ([0.0, 0.0], True)
    """
    if len(frames) < 2 or frames.shape[1] <= history:
        raise ValueError(f"{len(frames)} windows of {frames.shape[1]} frames: 2, of more than {history}, are needed.")
    states = model.encode(model.clip(frames))
    known, future = states[:, :history], states[:, history:]
    past, taken = actions[:, : history - 1], actions[:, history - 1 :]
    spread = states.flatten(0, 1).var(dim=0, correction=0).mean()

    def error(predicted: Tensor) -> Tensor:
        return (predicted - future).square().movedim(1, 0).flatten(1).mean(dim=1) / spread

    def after(given: Tensor) -> Tensor:
        return error(model.rollout(known, given, past if history > 1 else None))

    still = error(known[:, -1:].expand_as(future))
    return RolloutErrors(after(taken), after(taken.roll(1, dims=0)), after(torch.zeros_like(taken)), still)


class DistanceCurve(NamedTuple):
    """Distance in representation against distance in the world.

    Attributes:
        true: ``[bins]``, means of the distances in the world, from near to far.
        latent: ``[bins]``, means of the distances in representation of the same pairs.
        rank_correlation: Spearman's, of all pairs; 1 where nearer is always nearer.
    """

    true: Tensor
    latent: Tensor
    rank_correlation: float


def distance_curve(true: Tensor, latent: Tensor, bins: int = 10) -> DistanceCurve:
    """Whether the distance to a goal in representation falls all the way: planners see nothing else.

    Args:
        true: ``[N]``, distances in the world.
        latent: ``[N]``, of the same pairs in representation.
        bins: of equal numbers of pairs; at most N.

    Raises:
        ValueError: if there are fewer than 2 pairs.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import distance_curve
        >>> distances = torch.arange(8.0)
        >>> curve = distance_curve(distances, distances.square(), bins=2)
        >>> curve.true.tolist(), curve.latent.tolist(), round(curve.rank_correlation, 4)
        ([1.5, 5.5], [3.5, 31.5], 1.0)
    """
    if len(true) < 2:
        raise ValueError(f"{len(true)} pairs have no curve: give at least 2.")
    order = true.argsort()
    parts = [part for part in order.tensor_split(bins) if len(part)]
    return DistanceCurve(
        torch.stack([true[part].mean() for part in parts]),
        torch.stack([latent[part].mean() for part in parts]),
        float(spearman_corrcoef(latent.double(), true.double())),
    )
