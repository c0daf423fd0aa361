from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from jepa_lightning import (
    BYOL,
    DINO,
    IJEPA,
    MAE,
    VJEPA,
    BarlowTwins,
    JEPAModule,
    LeJEPA,
    MoCo,
    SimCLR,
    SimSiam,
    VICReg,
    WorldModel,
)
from jepa_lightning.types import Batch, Sample

ENCODER = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}
PREDICTOR = {"predictor_depth": 1, "predictor_dim": 24, "min_keep": 2}
HEADS = {"projector_hidden": 32, "projector_dim": 16}
METHODS: dict[str, tuple[type[JEPAModule], dict[str, Any]]] = {
    "I-JEPA": (IJEPA, {**PREDICTOR, "num_targets": 2}),
    "I-JEPA of two crops": (IJEPA, {**PREDICTOR, "num_targets": 2, "num_crops": 2, "regularizer": "sigreg"}),
    "V-JEPA": (VJEPA, {**PREDICTOR, "num_frames": 4, "frame_step": 1, "spatial_scale": (0.15, 0.5)}),
    "V-JEPA of images": (VJEPA, {**PREDICTOR, "num_frames": 1, "spatial_scale": (0.15, 0.5)}),
    "MAE": (MAE, {"decoder_depth": 1, "decoder_dim": 24, "decoder_heads": 3}),
    "SimCLR": (SimCLR, HEADS),
    "BYOL": (BYOL, HEADS),
    "MoCo v2": (MoCo, {"projector_dim": 16, "queue_size": 32}),
    "MoCo v3": (MoCo, {"version": "v3", **HEADS}),
    "SimSiam": (SimSiam, {"projector_dim": 16, "predictor_hidden": 8}),
    "VICReg": (VICReg, {"projector_dim": 16}),
    "BarlowTwins": (BarlowTwins, {"projector_dim": 16}),
    "DINO": (DINO, {"num_prototypes": 16, "head_hidden": 32, "bottleneck_dim": 16, "num_local": 2}),
    "LeJEPA": (LeJEPA, {**HEADS, "num_directions": 16, "num_local": 2}),
    "World model": (WorldModel, {"num_frames": 4, "in_channels": 3, "rollout_steps": 2}),
}
MASKED = ("I-JEPA", "I-JEPA of two crops", "V-JEPA", "V-JEPA of images", "MAE")


def build_method(name: str, **options: Any) -> JEPAModule:
    torch.manual_seed(0)
    cls, own = METHODS[name]
    return cls(**{**ENCODER, **own, **options})


def batch_for(module: JEPAModule, size: int = 6) -> Batch:
    """Smooth pictures, or clips of them that drift, in the training views of the module's own pipeline."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (size, 3, 4, 4), generator=generator).float()
    samples = F.interpolate(coarse, size=40, mode="bicubic").clamp(0, 255).to(torch.uint8)
    if module.media_axes == 4:
        samples = torch.stack([samples.roll(2 * frame, -1) for frame in range(4)], dim=1)
    if isinstance(module, WorldModel):
        samples = [Sample(clip, extras={"actions": torch.randn(3, 2, generator=generator)}) for clip in samples]
    pipeline = module.pipeline()
    torch.manual_seed(0)
    return pipeline.collate([pipeline.transform(sample) for sample in samples])


@pytest.fixture
def method() -> Callable[..., JEPAModule]:
    """A small module of a method by its name."""
    return build_method


@pytest.fixture(params=METHODS)
def every_method(request: Any) -> Callable[..., JEPAModule]:
    """``method`` of each method in turn."""
    return partial(build_method, request.param)


@pytest.fixture(params=MASKED)
def masked_method(request: Any) -> Callable[..., JEPAModule]:
    """``method`` of each method with masks in turn."""
    return partial(build_method, request.param)


@pytest.fixture
def batch_of() -> Callable[..., Batch]:
    return batch_for
