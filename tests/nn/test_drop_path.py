import pytest
import timm.layers
import torch
from torch import nn

from jepa_lightning.nn import VisionTransformer
from jepa_lightning.nn.drop_path import DropPath
from jepa_lightning.nn.transformer_block import compile_blocks


def test_drops_as_often_as_timms_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    x = torch.ones(20_000, 2, 3)
    for layer in (DropPath(0.3), timm.layers.DropPath(0.3)):
        out = layer(x)
        assert (out == out[:, :1, :1]).all()  # a sample is dropped whole
        assert {round(value, 4) for value in out.unique().tolist()} == {0.0, round(1 / 0.7, 4)}
        assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.015)
    assert DropPath(0.3).eval()(x) is x
    assert torch.equal(DropPath(0.0)(x), x)
    assert not DropPath(0.3).state_dict()


@pytest.fixture(autouse=True)
def compiles_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_ = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda layer: compile_(layer, backend="eager"))


def graphs(drop_path: float, rope: bool) -> int:
    """Graphs that torch.compile makes of five blocks in train and eval mode."""
    options = {"num_frames": 4, "rope": "exact"} if rope else {}
    encoder = VisionTransformer(16, 8, 24, depth=5, heads=2, drop_path=drop_path, **options)
    names = list(encoder.state_dict())
    compile_blocks(encoder)
    assert list(encoder.state_dict()) == names
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    x = torch.randn(2, 3, 4, 16, 16) if rope else torch.randn(2, 3, 16, 16)
    encoder(x).sum().backward()
    with torch.no_grad():
        encoder.eval()(x)
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("rope", [False, True])
def test_compiled_blocks_of_different_rates_share_their_graphs(rope: bool) -> None:
    without = graphs(0.0, rope)
    # the first block, whose rate is 0, has no layer for it
    assert 1 <= without <= graphs(0.3, rope) <= 2 * without
