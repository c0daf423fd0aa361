"""Objectives on tensors without data: the host reads no value of a GPU, and no tensor is on another device."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from jepa_lightning import IJEPA, VJEPA, JEPAModule
from jepa_lightning.types import Batch, Masks

Build = Callable[..., Any]
JEPA = {"predictor_depth": 1, "predictor_dim": 24, "min_keep": 4, "content": 1.0, "target_layers": 2}
CLIPS = {"num_frames": 8, "frame_step": 1}
CASES: dict[str, tuple[type[JEPAModule] | str, dict[str, Any]]] = {
    **{
        name: (name, {})
        for name in ("SimCLR", "BYOL", "MoCo v2", "MoCo v3", "SimSiam", "DINO", "MAE", "VICReg", "BarlowTwins",
                     "LeJEPA")
    },
    "DINO, Sinkhorn": ("DINO", {"assignment": "sinkhorn", "center_momentum": 0.9}),
    "SimCLR, drop path": ("SimCLR", {"drop_path": 0.5}),
    "IJEPA": (IJEPA, JEPA | {"content": 0.0, "target_layers": 1}),
    **{
        f"IJEPA, {name}": (IJEPA, JEPA | {"regularizer": name, "num_crops": 2, "invariance": 1.0, "projector_dim": 16})
        for name in ("variance_covariance", "sigreg", "uniformity")
    },
    "VJEPA": (VJEPA, JEPA | CLIPS),
    "VJEPA, rotary positions": (VJEPA, JEPA | CLIPS | {"rope": True, "drop_path": 0.5, "causal_frames": (1, 1)}),
}  # fmt: skip


def fake(mode: FakeTensorMode, tensor: Tensor, device: str) -> Tensor:
    copy = mode.from_tensor(tensor)
    return (copy.detach() if copy.is_floating_point() else copy).to(device)


def to_fake_(module: nn.Module, mode: FakeTensorMode, device: str) -> None:
    for layer in module.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            setattr(layer, name, nn.Parameter(fake(mode, parameter, device), parameter.requires_grad))
        for name, buffer in layer.named_buffers(recurse=False):
            setattr(layer, name, fake(mode, buffer, device))


@pytest.fixture(params=CASES)
def case(request: Any, tiny_method: Build, tiny_vjepa: Build) -> tuple[JEPAModule, Batch]:
    cls, options = CASES[request.param]
    if isinstance(cls, str):
        module = tiny_method(cls, **options)
    else:
        sizes = {"encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8}
        module = cls(**sizes, **options)
    shape = (8, 3, 40, 40) if isinstance(module, VJEPA) else (3, 40, 40)
    pipeline = module.pipeline()
    sample = torch.randint(0, 256, shape, dtype=torch.uint8)
    return module, pipeline.collate([pipeline.transform(sample) for _ in range(4)])


def step(module: JEPAModule, batch: Batch, device: str) -> Any:
    with FakeTensorMode(allow_non_fake_inputs=False) as mode:
        to_fake_(module, mode, device)
        masks = tuple(Masks(*(fake(mode, index, device) for index in kind)) for kind in batch.masks)
        output = module.objective(Batch([fake(mode, view, device) for view in batch.views], masks), 0.5)
        if device == "cpu":  # the backward pass of another device needs the device itself
            output.loss.backward()
    return output


def test_an_objective_on_a_gpu_reads_no_value_and_stays_there(case: tuple[JEPAModule, Batch]) -> None:
    output = step(*case, device="cuda")
    assert output.loss.device.type == "cuda"
    assert {value.device.type for value in output.logs.values()} <= {"cuda"}


def test_the_backward_pass_reads_no_value_either(case: tuple[JEPAModule, Batch]) -> None:
    module, batch = case
    step(module, batch, device="cpu")
    assert all(parameter.grad is not None for parameter in module.parameters() if parameter.requires_grad)


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda loss: loss.item(), DataDependentOutputException),
        (lambda loss: torch.bincount(loss.long()[None]), DynamicOutputShapeException),
        (lambda loss: loss + torch.ones(2), RuntimeError),
    ],
)
def test_reading_a_value_or_mixing_devices_is_found(
    tiny_method: Build, views_of: Build, read: Callable[[Tensor], Any], error: type[Exception]
) -> None:
    module = tiny_method("SimCLR")
    batch, objective = views_of(module), module.objective

    def reading(*args: Any) -> Any:
        output = objective(*args)
        read(output.loss)
        return output

    module.objective = reading
    with pytest.raises(error):
        step(module, batch, device="cuda")
