import torch

from jepa_lightning.nn import GRUPredictor


def test_equals_the_equations_of_the_unit_with_the_state_as_hidden_state() -> None:
    network, states, actions = GRUPredictor(5, 2), torch.randn(3, 4, 5), torch.randn(3, 4, 2)
    cell = network.cell
    given = actions @ cell.weight_ih.T + cell.bias_ih
    hidden = states @ cell.weight_hh.T + cell.bias_hh
    reset, update = (torch.sigmoid(given[..., i : i + 5] + hidden[..., i : i + 5]) for i in (0, 5))
    new = torch.tanh(given[..., 10:] + reset * hidden[..., 10:])
    torch.testing.assert_close(network(states, actions), (1 - update) * new + update * states)
    assert network.memory(4) is None
