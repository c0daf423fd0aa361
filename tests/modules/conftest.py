from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning import (
    BYOL,
    DINO,
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

ENCODER = {"encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8}
METHODS: dict[str, tuple[type[JEPAModule], dict[str, Any]]] = {
    "SimCLR": (SimCLR, {"projector_hidden": 64, "projector_dim": 32}),
    "BYOL": (BYOL, {"projector_hidden": 64, "projector_dim": 32}),
    "MoCo v2": (MoCo, {"projector_dim": 32, "queue_size": 32}),
    "MoCo v3": (MoCo, {"version": "v3", "projector_hidden": 64, "projector_dim": 32}),
    "SimSiam": (SimSiam, {"projector_dim": 64, "predictor_hidden": 32}),
    "DINO": (
        DINO,
        {
            "num_prototypes": 32, "head_hidden": 64, "bottleneck_dim": 32, "num_local": 2, "center_momentum": 0.5,
            "teacher_warmup": 0.3, "drop_path": 0.0,
        },
    ),
    "MAE": (MAE, {"decoder_depth": 1, "decoder_dim": 48, "decoder_heads": 3}),
    "VICReg": (VICReg, {"projector_dim": 64}),
    "BarlowTwins": (BarlowTwins, {"projector_dim": 64}),
    "LeJEPA": (LeJEPA, {"projector_hidden": 64, "projector_dim": 32, "num_directions": 64, "num_local": 2}),
}  # fmt: skip


@pytest.fixture
def tiny_method() -> Callable[..., JEPAModule]:
    """A small module of a method by its name."""

    def build(name: str, **options: Any) -> JEPAModule:
        torch.manual_seed(0)
        cls, own = METHODS[name]
        return cls(**{**ENCODER, **own, **options})

    return build


@pytest.fixture(params=METHODS)
def every_method(request: Any, tiny_method: Callable[..., JEPAModule]) -> Callable[..., JEPAModule]:
    """``tiny_method`` of each method in turn."""
    return partial(tiny_method, request.param)


@pytest.fixture
def smooth_images() -> Callable[..., Tensor]:
    def build(size: int = 16, seed: int = 0) -> Tensor:
        coarse = torch.randint(0, 256, (size, 3, 4, 4), generator=torch.Generator().manual_seed(seed)).float()
        return F.interpolate(coarse, size=40, mode="bicubic").clamp(0, 255).to(torch.uint8)

    return build


@pytest.fixture
def views_of(smooth_images: Callable[..., Tensor]) -> Callable[..., Batch]:
    """A batch from the module's own pipeline, for training or evaluation."""

    def build(module: JEPAModule, size: int = 16, seed: int = 0, training: bool = True) -> Batch:
        torch.manual_seed(seed)
        pipeline = module.pipeline()
        transform = pipeline.transform if training else pipeline.eval_transform
        return pipeline.collate([transform(image) for image in smooth_images(size, seed)])

    return build


@pytest.fixture
def tiny_vjepa() -> Callable[..., VJEPA]:
    def build(cls: type[VJEPA] = VJEPA, **options: Any) -> VJEPA:
        torch.manual_seed(0)
        defaults = {"num_frames": 8, "frame_step": 1, "predictor_depth": 1, "predictor_dim": 24, "min_keep": 4}
        return cls(**{**ENCODER, **defaults, **options})

    return build


@pytest.fixture
def clips_of(smooth_images: Callable[..., Tensor]) -> Callable[..., Batch]:
    """A batch of drifting pictures in the deterministic view, or of still ones for a model of images."""

    def build(module: VJEPA, size: int = 8, seed: int = 0) -> Batch:
        torch.manual_seed(seed)
        pipeline, images = module.pipeline(), smooth_images(size, seed)
        clips = torch.stack([images.roll(2 * frame, -1) for frame in range(module.num_frames)], dim=1)
        return pipeline.collate([pipeline.eval_transform(clip.squeeze(0)) for clip in clips])

    return build


TRANSFORMER = {"predictor_depth": 2, "predictor_heads": 2, "predictor_head_width": 8, "predictor_hidden": 32}
VIT = {"encoder": "vit_tiny", "width": 24, "depth": 1, "heads": 3, "patch_size": 4}
WORLDS: dict[str, dict[str, Any]] = {
    "gru": {"width": 24, "rollout_steps": 3},
    "mlp": {"width": 24, "rollout_steps": 3, "predictor": "mlp", "predictor_depth": 2, "predictor_hidden": 32},
    "adaln": {
        **VIT, **TRANSFORMER, "pool": "class", "projector": 16, "predictor": "adaln", "prediction": "teacher_forcing",
        "history": 4, "variance": 0.0, "covariance": 0.0, "similarity": 0.0, "inverse": 0.0, "sigreg": 0.09,
        "num_directions": 16,
    },
    "tokens": {
        **VIT, **TRANSFORMER, "freeze_encoder": True, "predictor": "tokens", "predictor_dim": 24,
        "prediction": "teacher_forcing",
    },
    "joined": {
        **VIT, "freeze_encoder": True, "state_width": 24, "rollout_steps": 3, "predictor": "mlp",
        "predictor_depth": 1, "predictor_hidden": 32,
    },
}  # fmt: skip


@pytest.fixture
def tiny_world() -> Callable[..., WorldModel]:
    """A small world model of each recipe."""

    def build(recipe: str = "gru", **options: Any) -> WorldModel:
        torch.manual_seed(0)
        return WorldModel(**{"num_frames": 5, "image_size": 16, **WORLDS[recipe], **options})

    return build


@pytest.fixture(params=WORLDS)
def every_world(request: Any, tiny_world: Callable[..., WorldModel]) -> Callable[..., WorldModel]:
    """``tiny_world`` of each recipe in turn."""
    return partial(tiny_world, request.param)


class Place(nn.Module):
    """An encoder that knows the place of the square: the values of the first pixels of each channel."""

    width, grid_size = 2, (1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x[:, :, 0, 0][:, None]


class Adds(nn.Module):
    """A predictor that knows the dynamics: the action is the step."""

    reach = 1

    def memory(self, frames: int) -> None:
        return None

    def forward(self, states: Tensor, actions: Tensor, memory: None = None) -> Tensor:
        return states + actions


@pytest.fixture
def perfect_world() -> WorldModel:
    """A world model whose states are positions, without a head, which knows the dynamics."""

    class Perfect(WorldModel):
        def build_head(self) -> nn.Module:
            return nn.Identity()

        def build_predictor(self) -> nn.Module:
            return Adds()

    return Perfect(Place(), num_frames=6, image_size=4, rollout_steps=5)


@pytest.fixture
def place_walk() -> Batch:
    """Positions as pixels, and the steps between them."""
    torch.manual_seed(0)
    positions = torch.randn(8, 6, 2).cumsum(dim=1)
    clip = positions.transpose(1, 2)[..., None, None].expand(-1, -1, -1, 4, 4)
    return Batch([clip], extras={"actions": positions.diff(dim=1)})


@pytest.fixture
def shaken_world(every_world: Callable[..., WorldModel]) -> Callable[..., WorldModel]:
    """``every_world`` in eval mode, away from the start, at which blocks are the identity."""

    def build(**options: Any) -> WorldModel:
        model = every_world(**options)
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        return model.eval()

    return build


@pytest.fixture
def trajectories() -> Callable[..., list[Sample]]:
    """A square that actions move over a ring of 16 pixels, before a wall that stands elsewhere in each sample."""

    def build(size: int = 16, frames: int = 5, seed: int = 0) -> list[Sample]:
        generator = torch.Generator().manual_seed(seed)
        samples = []
        for number in range(size):
            actions = torch.randint(-3, 4, (frames - 1, 2), generator=generator)
            start = torch.randint(0, 16, (1, 2), generator=generator)
            states = torch.cat([start, start + actions.cumsum(0)])
            clip = torch.zeros(frames, 2, 16, 16, dtype=torch.uint8)
            clip[:, 1, :, int(torch.randint(0, 16, (), generator=generator))] = 255
            for frame, (x, y) in zip(clip, states.tolist(), strict=True):
                frame[0, :4, :4] = 255
                frame[0] = frame[0].roll((y, x), (0, 1))
            extras = {"actions": actions.float(), "states": states.float()}
            samples.append(Sample(clip, path=f"episode {number}", extras=extras))
        return samples

    return build


@pytest.fixture
def world_batch(trajectories: Callable[..., list[Sample]]) -> Callable[..., Batch]:
    """A batch of trajectories in the view of the module's own pipeline."""

    def build(module: WorldModel, **options: Any) -> Batch:
        pipeline = module.pipeline()
        return pipeline.collate([pipeline.eval_transform(sample) for sample in trajectories(**options)])

    return build
