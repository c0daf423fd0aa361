import torch
from torch.nn import functional as F

from jepa_lightning.nn import MLPPredictor


def test_nothing_changes_at_first() -> None:
    states = torch.randn(3, 4, 5)
    assert torch.equal(MLPPredictor(5, 2)(states, torch.randn(3, 4, 2)), states)


def test_equals_its_layers_written_out() -> None:
    network, states, actions = MLPPredictor(5, 2, depth=2, hidden=7), torch.randn(3, 4, 5), torch.randn(3, 4, 2)
    torch.nn.init.normal_(network.change[-1].weight)
    first, second, last = (network.change[i] for i in (0, 3, 6))
    for b in range(3):
        for t in range(4):
            hidden = F.silu(first.weight @ torch.cat([states[b, t], actions[b, t]]) + first.bias)
            hidden = F.silu(second.weight @ hidden + second.bias)
            wanted = states[b, t] + last.weight @ hidden + last.bias
            torch.testing.assert_close(network(states, actions)[b, t], wanted)
    assert network.memory(4) is None


def test_dropout_is_for_training() -> None:
    network = MLPPredictor(5, 2, hidden=64, dropout=0.5)
    torch.nn.init.normal_(network.change[-1].weight)
    states, actions = torch.randn(3, 4, 5), torch.randn(3, 4, 2)
    assert not torch.equal(network(states, actions), network(states, actions))
    assert torch.equal(network.eval()(states, actions), network(states, actions))
