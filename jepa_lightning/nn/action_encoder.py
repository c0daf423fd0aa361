# B batch, T frames, A numbers of an action, D width
"""Actions as vectors that condition a predictor.

Source: LeWorldModel, arXiv 2603.19312, whose first layer is a convolution over one place.
"""

from torch import nn


def action_encoder(action_size: int, width: int, inner: int = 10) -> nn.Sequential:
    """Actions ``[B, T, A]`` to ``[B, T, D]``.

    Args:
        action_size: A.
        width: D.
        inner: numbers that each action is made of before the hidden layer of width 4 D.
    """
    return nn.Sequential(
        nn.Linear(action_size, inner), nn.Linear(inner, 4 * width), nn.SiLU(), nn.Linear(4 * width, width)
    )
