import pytest
import torch
from torch import nn

from jepa_lightning.features import encode, eval_mode


class Halves(nn.Module):
    def forward(self, view: torch.Tensor, pool: bool = True) -> torch.Tensor:
        tokens = view.unflatten(1, (2, -1))
        return tokens.mean(dim=1) if pool else tokens


def test_features_are_averaged_over_views_and_tokens_put_side_by_side() -> None:
    first, second = torch.arange(12.0).view(2, 6), torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    both = [(view[:, :3], view[:, 3:]) for view in (first, second)]
    expected = sum(half for halves in both for half in halves) / 4
    torch.testing.assert_close(encode(Halves(), [first, second]), expected)
    tokens = encode(Halves(), [first, second], pool=False)
    assert torch.equal(tokens, torch.stack([half for halves in both for half in halves], dim=1))


def test_a_single_view_stays_bit_for_bit() -> None:
    view = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(encode(Halves(), [view]), Halves()(view))


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
