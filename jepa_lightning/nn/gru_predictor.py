# B batch, T frames, D width, A numbers of an action
"""The predictor of states by a gated recurrent unit.

Source: EB-JEPA, arXiv 2602.03604.
"""

from torch import Tensor, nn

from jepa_lightning.nn.key_values import KeyValues


class GRUPredictor(nn.Module):
    """One step of a recurrent unit: its hidden state is the state of the frame, its input the action.

    A state says all about the past that the predictor knows, so it reaches no further back and keeps no memory.

    Args:
        width: D.
        action_size: A.

    Attributes:
        reach: number of frames that a prediction depends on.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import GRUPredictor
        >>> GRUPredictor(48, action_size=2)(torch.rand(2, 5, 48), torch.rand(2, 5, 2)).shape
        torch.Size([2, 5, 48])
    """

    reach = 1

    def __init__(self, width: int, action_size: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(action_size, width)

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
        following: Tensor = self.cell(actions.flatten(0, 1), states.flatten(0, 1))
        return following.view_as(states)
