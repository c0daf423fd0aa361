# B batch, T frames, D width, A numbers of an action
"""The predictor of states by a multilayer perceptron."""

import torch
from torch import Tensor, nn

from jepa_lightning.nn.key_values import KeyValues


class MLPPredictor(nn.Module):
    """One step of a perceptron, which adds to the state of the frame what the action changes.

    The last layer starts at 0, so that at first nothing is predicted to change. A state says all about the past that
    the predictor knows, so it reaches no further back and keeps no memory.

    Args:
        width: D.
        action_size: A.
        depth: number of hidden layers.
        hidden: their width.
        dropout: share of the hidden values that are set to 0 in training.

    Attributes:
        reach: number of frames that a prediction depends on.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import MLPPredictor
        >>> states = torch.rand(2, 5, 48)
        >>> torch.equal(MLPPredictor(48, action_size=2)(states, torch.rand(2, 5, 2)), states)  # before training
        True
    """

    reach = 1

    def __init__(self, width: int, action_size: int, depth: int = 3, hidden: int = 512, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (width + action_size, *[hidden] * (depth - 1)):
            layers += [nn.Linear(inputs, hidden), nn.SiLU(), nn.Dropout(dropout)]
        last = nn.Linear(hidden, width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.change = nn.Sequential(*layers, last)

    def memory(self, frames: int) -> list[KeyValues] | None:
        """None: nothing is computed twice."""
        return None

    def forward(self, states: Tensor, actions: Tensor, memory: list[KeyValues] | None = None) -> Tensor:
        """What follows each frame, by itself.

        Args:
            states: ``[B, T, D]``.
            actions: ``[B, T, A]``, taken at these frames.
            memory: always None.

        Returns:
            ``[B, T, D]``, the states of the frames after.
        """
        change: Tensor = self.change(torch.cat([states, actions], dim=-1))
        return states + change
