"""Environments that a world model can plan in, and some that it cannot."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from jepa_lightning import IJEPA
from jepa_lightning.cli.main import main

ENVS = {
    "Line": {},
    "Fast": {"size": 4},
    "Easy": {"easy": True},
    "Gray": {"channels": 1},
    "Other": {"goal_side": 7},
    "Blind": {"images": False},
}


def line_env(gymnasium: Any) -> type:
    """An environment of gymnasium, which is not needed for other tests."""

    class LineEnv(gymnasium.Env):
        """A bright column moves over an image of 8 by 8 pixels by the first number of an action."""

        def __init__(
            self, size: int = 2, channels: int = 2, goal_side: int = 8, easy: bool = False, images: bool = True
        ) -> None:
            kind = np.uint8 if images else np.float32
            self.observation_space = gymnasium.spaces.Box(0, 255, (8, 8, channels), kind)
            self.action_space = gymnasium.spaces.Box(-1, 1, (size,), np.float32)
            self.goal_side, self.easy = goal_side, easy

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.place, self.goal = 0.0, float(self.np_random.integers(0 if self.easy else 3, 7))
            return self._image(self.place), self._info()

        def step(self, action: Any) -> Any:
            self.place = float(np.clip(self.place + action[0], 0, 7))
            info = self._info()
            return self._image(self.place), 0.0, info["is_success"], False, info

        def expert(self) -> Any:
            action = np.zeros(self.action_space.shape, np.float32)
            action[0] = np.clip(self.goal - self.place, -1, 1)
            return action

        def _info(self) -> dict[str, Any]:
            goal = self._image(self.goal)[: self.goal_side]
            return {"goal_image": goal, "is_success": bool(abs(self.place - self.goal) < 0.5)}

        def _image(self, place: float) -> Any:
            image = np.zeros(self.observation_space.shape, np.uint8)
            image[:, round(place)] = 255
            return image

    return LineEnv


@pytest.fixture
def line_envs() -> Iterator[None]:
    """The environments by name."""
    gymnasium = pytest.importorskip("gymnasium", reason="needs the extra worlds")
    kind = line_env(gymnasium)
    for name, options in ENVS.items():
        gymnasium.register(f"tests/{name}-v0", entry_point=kind, kwargs=options, max_episode_steps=30)
    yield
    for name in ENVS:
        del gymnasium.registry[f"tests/{name}-v0"]


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkpoint of a module, as a run does."""

    def write(module: LightningModule, name: str = "last.ckpt") -> Path:
        trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", enable_progress_bar=False)
        trainer.strategy.connect(module)
        module.trainer = trainer
        trainer.save_checkpoint(tmp_path / name, weights_only=True)
        return tmp_path / name

    return write


@pytest.fixture
def checkpoint(save: Callable[..., Path]) -> Path:
    """A small world model with random weights."""
    from jepa_lightning import WorldModel

    torch.manual_seed(0)
    return save(WorldModel(width=16, image_size=8, num_frames=4, rollout_steps=2, inverse_hidden=8))


@pytest.fixture
def other_checkpoint(save: Callable[..., Path], tiny_ijepa: Callable[..., IJEPA]) -> Path:
    return save(tiny_ijepa(), "ijepa.ckpt")


SIZE = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "patch_size": 8, "image_size": 32, "min_keep": 2}
PREDICTOR = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: Any) -> IJEPA:
    """A checkpoint in the form of the reference, in the working folder, and the module that it is of."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = IJEPA(**SIZE, **PREDICTOR).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    names = {"encoder": "context_encoder", "predictor": "predictor", "target_encoder": "target_encoder"}
    content: dict[str, Any] = {
        entry: {f"module.{name}": value for name, value in getattr(module, ours).state_dict().items()}
        for entry, ours in names.items()
    }
    torch.save({**content, "epoch": 3}, "reference.pth.tar")
    return module


@pytest.fixture
def refused(source: IJEPA, capsys: Any) -> Callable[..., str]:
    """What a command says that is refused, which is one line; there are files of several kinds, and no new ones."""
    source.save_pretrained("folder")
    Path("page.pt").write_bytes(b"<html>")
    Path("empty.pt").write_bytes(b"")
    state = {name: torch.full_like(value, torch.nan) for name, value in source.target_encoder.state_dict().items()}
    torch.save({"target_encoder": state}, "nan.pt")

    def run(*arguments: str) -> str:
        before = sorted(path.name for path in Path().rglob("*"))
        with pytest.raises(SystemExit) as stop:
            main([*arguments])
        assert stop.value.code
        text = str(capsys.readouterr().err)
        assert text.startswith("jepa-lightning: error: ")
        assert text.count("\n") == 1
        assert sorted(path.name for path in Path().rglob("*")) == before
        return text

    return run
