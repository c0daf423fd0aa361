"""Files as the authors of I-JEPA and V-JEPA write them, made of tiny modules of this package."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA

SIZE = {"encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "patch_size": 8, "image_size": 32}
PREDICTOR = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3}
LOOP = {"opt": {}, "scaler": None, "epoch": 3, "loss": 0.25, "batch_size": 8, "world_size": 1, "lr": 1e-3}


def stir(module: torch.nn.Module, seed: int = 0) -> None:
    """Gives every parameter values of its own: biases, norms, mask tokens and both encoders too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.fixture(scope="session")
def ijepa() -> IJEPA:
    module = IJEPA(**SIZE, **PREDICTOR, min_keep=2).eval()  # type: ignore[arg-type]
    stir(module)
    return module


@pytest.fixture(scope="session")
def vjepa() -> VJEPA:
    module = VJEPA(**SIZE, **PREDICTOR, num_frames=8, min_keep=2).eval()  # type: ignore[arg-type]
    stir(module)
    return module


@pytest.fixture(scope="session")
def vjepa2() -> VJEPA:
    options = {**SIZE, "width": 72, "predictor_depth": 1, "predictor_dim": 48, "predictor_heads": 4}
    module = VJEPA(**options, num_frames=8, min_keep=2, rope=True, rope_style="vjepa2").eval()  # type: ignore[arg-type]
    stir(module)
    return module


def entries(module: Any, prefix: str) -> dict[str, Any]:
    """The networks of a module as a checkpoint of the reference."""
    networks = {
        "encoder": module.context_encoder,
        "target_encoder": module.target_encoder,
        "predictor": module.predictor,
    }
    return {
        **{name: {prefix + key: value for key, value in net.state_dict().items()} for name, net in networks.items()},
        **LOOP,
    }


@pytest.fixture
def reference_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a module, with what each family has beyond that of this package."""

    def write(module: Any, family: str, **others: Any) -> Path:
        content = entries(module, "module." if family == "ijepa" else "module.backbone.")
        if family == "vjepa2":  # tables that are never used, and mask tokens that never were trained
            for name in ("encoder", "target_encoder"):
                content[name]["module.backbone.pos_embed"] = torch.zeros(1, 64, 72)
            content["predictor"]["module.backbone.predictor_pos_embed"] = torch.zeros(1, 64, 48)
            for number in range(1, 10):
                content["predictor"][f"module.backbone.mask_tokens.{number}"] = torch.zeros(1, 1, 48)
        path = tmp_path / f"{family}-latest.pth.tar"
        torch.save({**content, **others}, path)
        return path

    return write
