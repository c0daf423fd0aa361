"""A training step reads no value of a tensor, for which the host would have to wait for a GPU."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from jepa_lightning import IJEPA, JEPAModule
from jepa_lightning.ema import EMAPair
from jepa_lightning.types import Batch

Build = Callable[..., Any]
READS = {"aten::item", "aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::equal"}
IMAGES = {
    "full": {},
    "shared": {"predictor_attention": "shared"},
    "small": {"num_crops": 2, "regularizer": "uniformity", "invariance": 2.0, "content": 2.0, "target_layers": 2},
    "sigreg": {"num_crops": 2, "regularizer": "sigreg", "drop_path": 0.2},
}


def reads(module: JEPAModule, batch: Batch) -> set[str]:
    """Operations that read values, in objective, backward pass, clipping and EMA.

    The optimizer is torch's, which counts its steps on the CPU, or with ``fused`` on the GPU.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    pairs = [EMAPair(*pair) for pair in module.ema_pairs()]
    with profile(activities=[ProfilerActivity.CPU]) as found:
        module.objective(batch, 0.5).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for pair in pairs:
            pair.update_(0.99)
    names = {event.name for event in found.events()}
    assert "aten::mul" in names or "aten::mm" in names  # that the profiler has seen the step
    return names & READS


def test_a_read_would_be_found() -> None:
    with profile(activities=[ProfilerActivity.CPU]) as found:
        float(torch.ones(3).sum())
    assert {event.name for event in found.events()} & READS == {"aten::item", "aten::_local_scalar_dense"}


def test_no_method_reads_a_value(every_method: Build, views_of: Build) -> None:
    module = every_method().train()
    assert reads(module, views_of(module, size=4)) == set()


@pytest.mark.parametrize("name", IMAGES)
def test_ijepa_reads_no_value(tiny_ijepa: Build, views_of: Build, name: str) -> None:
    module: IJEPA = tiny_ijepa(**IMAGES[name]).train()
    assert reads(module, views_of(module, size=4)) == set()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rope": True, "causal_frames": (1, 1)},
        {"rope": True, "rope_grid": 16, "levels": [0, 1], "context_loss": 0.5, "images": True, "image_blocks": 2},
    ],
)
def test_vjepa_reads_no_value(tiny_vjepa: Build, clips_of: Build, options: dict[str, Any]) -> None:
    module = tiny_vjepa(**options).train()
    assert reads(module, clips_of(module, size=4)) == set()


def test_no_world_model_reads_a_value(every_world: Build, world_batch: Build) -> None:
    module = every_world().train()
    assert reads(module, world_batch(module, size=4)) == set()
