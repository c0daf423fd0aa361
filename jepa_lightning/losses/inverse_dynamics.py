# B batch, T frames, D width, A numbers of an action
"""Representations that tell which action has led from one to the next.

Source: PLDM, arXiv 2502.14819; EB-JEPA, arXiv 2602.03604.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.losses.samples import check_samples
from jepa_lightning.losses.time_similarity import check_frames


def inverse_dynamics_loss(network: nn.Module, states: Tensor, actions: Tensor) -> Tensor:
    """Squared error of the actions that a network reads from consecutive states, averaged over all pairs and A.

    States that hold only what never changes, such as a wall, meet every other term, and fail this one.

    Args:
        network: ``[M, 2 D]``, a state and the next, to ``[M, A]``.
        states: ``[B, T, D]`` of encoded frames.
        actions: ``[B, T - 1, A]``; action t leads from frame t to frame t + 1.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if there is a single frame, or actions of another number.
    """
    check_samples("inverse_dynamics_loss", states, "BTD", least=1)
    check_frames("inverse_dynamics_loss", states)
    if actions.shape[:2] != (len(states), states.shape[1] - 1):
        raise ValueError(
            f"actions of shape {tuple(actions.shape)} do not fit states of shape {tuple(states.shape)}: give "
            "[B, T - 1, A], one action from each frame to the next."
        )
    pairs = torch.cat([states[:, :-1], states[:, 1:]], dim=-1)
    read = network(pairs.flatten(0, 1))
    return F.mse_loss(read.float(), actions.flatten(0, 1).float())
