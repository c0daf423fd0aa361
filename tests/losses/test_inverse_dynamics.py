import pytest
import torch
from torch import Tensor, nn

from jepa_lightning.losses import inverse_dynamics_loss


class Difference(nn.Module):
    """The action is the step from the first state to the second."""

    def forward(self, pairs: Tensor) -> Tensor:
        return pairs[:, 2:] - pairs[:, :2]


def test_equals_a_slow_loop() -> None:
    network, states, actions = nn.Linear(8, 3), torch.randn(2, 5, 4), torch.randn(2, 4, 3)
    errors = [
        (network(torch.cat([states[b, t], states[b, t + 1]])) - actions[b, t]).square().mean()
        for b in range(2)
        for t in range(4)
    ]
    torch.testing.assert_close(inverse_dynamics_loss(network, states, actions), torch.stack(errors).mean())


def test_action_t_leads_from_frame_t_to_the_next() -> None:
    actions = torch.randn(2, 6, 2)
    states = torch.cat([torch.zeros(2, 1, 2), actions.cumsum(dim=1)], dim=1)
    assert inverse_dynamics_loss(Difference(), states, actions) < 1e-10
    for shift in (-2, -1, 1, 2):
        assert inverse_dynamics_loss(Difference(), states, actions.roll(shift, 1)) > 0.1
    assert inverse_dynamics_loss(Difference(), states, -actions) > 0.1


def test_actions_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="one action from each frame to the next"):
        inverse_dynamics_loss(Difference(), torch.zeros(2, 5, 2), torch.zeros(2, 5, 2))
