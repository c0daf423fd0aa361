import pytest
import torch
from torch import nn

from jepa_lightning.eval_mode import eval_mode


def test_every_layer_is_in_eval_mode_and_then_as_before():
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3), nn.Sequential(nn.Dropout(0.1)))
    network[1].eval()
    with eval_mode(network):
        assert not any(layer.training for layer in network.modules())
        before = torch.get_rng_state()
        x = torch.ones(4, 3)
        assert torch.equal(network(x), network(x))
        assert torch.equal(torch.get_rng_state(), before)
    assert [layer.training for layer in network] == [True, False, True]
    assert network.training


def test_modes_come_back_after_an_error():
    network = nn.Dropout(0.5)
    with pytest.raises(RuntimeError), eval_mode(network):
        raise RuntimeError
    assert network.training
