# B episodes, H steps, A dimension of an action
"""A plan as the start of the next one."""

import torch
from torch import Tensor

from jepa_lightning.options import PositiveInt
from jepa_lightning.planning.bounds import Bounds


def shift(actions: Tensor, steps: int, horizon: PositiveInt, bounds: Bounds) -> Tensor:
    """A plan moved on by the steps that have been executed, to start the next one with.

    Args:
        actions: ``[B, H, A]``, the plan before.
        steps: executed ones, which are left out.
        horizon: of the plan that is returned; at its end the middle of the bounds stands where nothing was planned.
        bounds: which actions there are.

    Returns:
        ``[B, horizon, A]``.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import Bounds, shift
        >>> plan = torch.tensor([[[0.1], [0.2], [0.3]]])
        >>> shift(plan, 1, 3, Bounds(-torch.ones(1), torch.ones(1))).flatten()
        tensor([0.2000, 0.3000, 0.0000])
    """
    kept = actions[:, steps : steps + horizon]
    new = bounds.center.expand(len(actions), horizon - kept.shape[1], bounds.size)
    return torch.cat([kept, new], dim=1)
