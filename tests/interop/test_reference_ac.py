"""A file in the form of V-JEPA 2-AC: its encoder is what a world model sees frames with; its predictor is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning import VJEPA, WorldModel
from jepa_lightning.cli.main import main
from jepa_lightning.interop import load_reference
from jepa_lightning.interop.entries import open_reference
from jepa_lightning.interop.reference_module import module_of

WORLD = {
    "predictor": "tokens", "prediction": "teacher_forcing", "image_size": 32, "in_channels": 3, "num_frames": 4,
    "action_size": 7, "predictor_depth": 1, "predictor_dim": 48, "predictor_heads": 2, "predictor_head_width": 8,
    "predictor_hidden": 48,
}  # fmt: skip
SAID = r"reads the action and the state of the arm as two tokens before .* takes no state .* Take its encoder:"


@pytest.fixture
def robot(vjepa2: VJEPA, tmp_path: Path) -> Path:
    """The entries, prefixes, names and shapes of SPEC 6.1, at a tiny size."""
    linear = {"predictor_embed": (48, 72), "action_encoder": (48, 7), "state_encoder": (48, 7),
              "extrinsics_encoder": (48, 6), "predictor_proj": (72, 48)}  # fmt: skip
    predictor: dict[str, Tensor] = {}
    for name, shape in linear.items():
        predictor |= {f"module.{name}.weight": torch.randn(shape), f"module.{name}.bias": torch.randn(shape[0])}
    kept = ("predictor_blocks", "predictor_norm")
    own = vjepa2.predictor.state_dict().items()
    predictor |= {f"module.{name}": value for name, value in own if name.startswith(kept)}
    encoders = {
        entry: {f"module.{name}": value for name, value in network.state_dict().items()}
        | {"module.pos_embed": torch.zeros(1, 64, 72)}
        for entry, network in (("encoder", vjepa2.context_encoder), ("target_encoder", vjepa2.target_encoder))
    }
    optimizer = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"params": [0], "lr_scale": 1.0}]}
    loop = {"opt": optimizer, "scaler": None, "epoch": 315, "loss": 0.1, "batch_size": 8, "world_size": 32, "lr": 0.0}
    path = tmp_path / "vjepa2-ac-vitg.pt"
    torch.save({**encoders, "predictor": predictor, **loop}, path)
    return path


@torch.no_grad()
def test_its_encoder_sees_the_frames_of_a_world_model(robot: Path, vjepa2: VJEPA, tmp_path: Path, capsys: Any) -> None:
    """Each frame fills a tubelet, and its tokens are normalized without weights, as in the paper."""
    options = ["--heads", "3", "--image_size", "32", "--num_frames", "8"]
    main(["convert", str(robot), str(tmp_path / "vjepa.ckpt"), "--to", "torch", *options])
    said = capsys.readouterr().out
    assert "the predictor starts anew" in said
    assert "predictor.action_encoder.bias" in said
    assert "resumes the run" not in said  # its optimizer is that of another predictor
    world = WorldModel(str(tmp_path / "vjepa.ckpt"), **WORLD).eval()  # type: ignore[arg-type]
    clip = torch.randn(2, 3, 4, 32, 32)
    states = world.encode(clip)
    for number, frame in enumerate(clip.unbind(2)):
        tokens = vjepa2.target_encoder(torch.stack([frame, frame], dim=2))
        torch.testing.assert_close(states[:, number], F.layer_norm(tokens, (72,)), atol=1e-5, rtol=0)
    assert world.rollout(states[:, :1], torch.randn(2, 3, 7)).shape == (2, 3, 16, 72)


def test_every_tensor_of_it_is_accounted_for(robot: Path) -> None:
    content = torch.load(robot, weights_only=True)
    module, report = module_of(VJEPA, open_reference(robot), {"heads": 3, "image_size": 32, "num_frames": 8})
    loaded = {name.replace("context_encoder", "encoder") for name in report.loaded}
    for entry in ("encoder", "target_encoder", "predictor"):
        for name in content[entry]:
            known = f"{entry}.{name.removeprefix('module.')}"
            assert (known in loaded) != (known in report.skipped), known
    assert not any(parameter.is_meta for parameter in module.parameters())


def test_its_predictor_is_refused_in_one_line(robot: Path, tmp_path: Path, capsys: Any) -> None:
    for read in (lambda: load_reference(robot, "predictor", heads=3), lambda: WorldModel.from_pretrained(robot)):
        with pytest.raises(ValueError, match=SAID) as error:
            read()
        assert "\n" not in str(error.value)
    with pytest.raises(SystemExit):
        main(["convert", str(robot), str(tmp_path / "world.ckpt"), "--to", "torch", "--model", "WorldModel"])
    assert "as two tokens before" in capsys.readouterr().err
    assert not (tmp_path / "world.ckpt").exists()
