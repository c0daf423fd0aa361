from types import SimpleNamespace

import pytest
import torch

TINY = {"encoder": "vit_tiny", "image_size": 64, "patch_size": 16, "batch_size": 2, "device": "cpu", "steps": 1}


@pytest.fixture
def curves(example):
    return example("benchmarks/step_curves.py")


def test_bytes_kept_are_those_of_a_layer_that_is_known(curves):
    layer, x = torch.nn.Linear(8, 4, bias=False), torch.randn(16, 8)
    # the product keeps its input, the square its own: 16 x 8 and 16 x 4 floats
    assert curves.bytes_kept(lambda: layer(x).square().sum().backward(), layer) == 4 * (16 * 8 + 16 * 4)


def test_operations_grow_with_the_batch_and_shared_attention_saves_some(curves):
    options = SimpleNamespace(**TINY)
    small = {"depth": 1, "predictor_depth": 2}
    one, two = (curves.measure("batch", size, options, batch_size=size, **small) for size in (1, 2))
    assert two.flops == 2 * one.flops
    assert two.kept > one.kept
    full, shared = (curves.measure("", 4, options, predictor_attention=kind, **small) for kind in ("full", "shared"))
    assert shared.flops < full.flops
    assert shared.kept < full.kept


def test_table_and_plot_have_every_curve(curves, tmp_path):
    names = ("tokens", "target blocks, full attention", "target blocks, shared attention")
    found = [curves.Point(name, x, 0.1 * x, 10**8 * x, 10**6) for name in names for x in (1, 2)]
    lines = curves.table(found, rate=4e9).splitlines()
    assert len(lines) == 7
    assert lines[1].split() == ["tokens", "1", "100.0", "0.10", "0.25", "1.0"]
    curves.plot(found, 4e9, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
