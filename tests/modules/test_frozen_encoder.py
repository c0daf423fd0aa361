"""Encoders of finished runs as those of world models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA, WorldModel
from jepa_lightning.modules.frozen_encoder import FrozenEncoder
from jepa_lightning.types import Batch

Build = Callable[..., Any]
SMALL = {"encoder": "vit_tiny", "width": 24, "depth": 1, "heads": 3, "image_size": 16, "patch_size": 4}
JEPA = {"predictor_depth": 1, "predictor_dim": 24, "min_keep": 1}
METHODS: dict[str, Any] = {
    "IJEPA": lambda: IJEPA(**SMALL, **JEPA, mean=[0.1, 0.2, 0.3]),
    "VJEPA": lambda: VJEPA(**SMALL, **JEPA, num_frames=4, num_blocks=(1,), spatial_scale=(0.5,)),
}
WORLD = {
    "predictor": "tokens", "prediction": "teacher_forcing", "num_frames": 5, "image_size": 16, "in_channels": 3,
    "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 2, "predictor_head_width": 8, "predictor_hidden": 16,
}  # fmt: skip


@pytest.fixture(params=METHODS)
def finished(request: Any, tmp_path: Path, quiet_trainer: Build) -> tuple[Any, Path]:
    """A module and its checkpoint, whose weights are not those that the seed gives."""
    torch.manual_seed(1)
    module = METHODS[request.param]()
    trainer = quiet_trainer()
    module.trainer = trainer
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    return module, tmp_path / "run.ckpt"


def clip() -> torch.Tensor:
    return torch.randn(2, 3, 5, 16, 16, generator=torch.Generator().manual_seed(0))


def test_a_world_model_sees_frames_with_the_encoder_of_the_checkpoint(finished: tuple[Any, Path]) -> None:
    module, path = finished
    torch.manual_seed(0)
    world = WorldModel(str(path), **WORLD)
    assert world.is_frozen
    assert (world.mean, world.std) == (module.mean, module.std)
    frame = clip()[:, :, 0]
    if isinstance(module, VJEPA):
        frame = frame[:, :, None].expand(-1, -1, 2, -1, -1)  # a tubelet of twice the same
    tokens = module.eval_encoder.eval()(frame)
    expected = torch.nn.functional.layer_norm(tokens, (24,))
    torch.testing.assert_close(world.encode(clip())[:, 0], expected)
    world.objective(Batch([clip()], extras={"actions": torch.randn(2, 4, 2)}), 0.0).loss.backward()
    assert all(parameter.grad is None for parameter in world.encoder.parameters())


def test_its_checkpoint_needs_no_other_file(finished: tuple[Any, Path], quiet_trainer: Build, tmp_path: Path) -> None:
    _, path = finished
    world = WorldModel(str(path), **WORLD)
    trainer = quiet_trainer()
    world.trainer = trainer
    trainer.strategy.connect(world)
    trainer.save_checkpoint(tmp_path / "world.ckpt")
    path.unlink()
    loaded = WorldModel.load_from_checkpoint(tmp_path / "world.ckpt")
    assert isinstance(loaded.encoder, FrozenEncoder)
    assert loaded.is_frozen
    torch.testing.assert_close(loaded.encode(clip()), world.encode(clip()))


def test_a_compact_state_of_a_frozen_encoder(finished: tuple[Any, Path]) -> None:
    options = {"image_size": 16, "in_channels": 3, "num_frames": 5, "rollout_steps": 2}
    world = WorldModel(str(finished[1]), **options)
    assert world.encode(clip()).shape == (2, 5, 24)
    with pytest.raises(ValueError, match=r"inverse=2\.0 has no effect, since the encoder is frozen"):
        WorldModel(str(finished[1]), inverse=2.0, **options)
    # a projector can collapse, and so has terms
    assert WorldModel(str(finished[1]), inverse=2.0, projector=8, **options).terms is not None


def test_what_does_not_fit_is_refused(finished: tuple[Any, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"in_channels=2, and the encoder .* takes 3: set in_channels=3"):
        WorldModel(str(finished[1]), predictor="gru")
    with pytest.raises(FileNotFoundError):
        WorldModel(str(tmp_path / "none.ckpt"))
    with pytest.raises(ValueError, match=r"of the method os\.path, which is none of this package"):
        FrozenEncoder("os.path", {})
