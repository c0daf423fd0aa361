"""V-JEPA 2.1: levels, modalities, two heads of the predictor, and models distilled from a wider teacher."""

from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import VJEPA
from jepa_lightning.interop import load_pretrained, load_reference

SIZE: dict[str, Any] = {
    "encoder": "vit_tiny", "width": 72, "depth": 2, "heads": 3, "patch_size": 8, "image_size": 32, "num_frames": 4,
    "predictor_depth": 1, "predictor_dim": 48, "predictor_heads": 4, "min_keep": 2, "rope": True, "rope_grid": 16,
    "levels": [0, 1], "context_loss": 0.5, "images": True,
}  # fmt: skip
GIVEN: dict[str, Any] = {"heads": 3, "levels": [0, 1], "image_size": 32, "num_frames": 4, "min_keep": 2}


@pytest.fixture(scope="module")
def module() -> VJEPA:
    torch.manual_seed(0)
    found = VJEPA(**SIZE).eval()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return found


def write(module: VJEPA, path: Path, target: str = "target_encoder") -> dict[str, Any]:
    networks = {"encoder": module.context_encoder, target: module.target_encoder, "predictor": module.predictor}
    content = {
        name: {f"module.backbone.{key}": value.clone() for key, value in network.state_dict().items()}
        for name, network in networks.items()
    }
    for number in range(2, 8):  # of longer clips
        content["predictor"][f"module.backbone.mask_tokens.{number}"] = torch.zeros(1, 1, 48)
    torch.save(content, path)
    return content


@torch.no_grad()
@pytest.mark.parametrize("target", ["target_encoder", "ema_encoder"])
def test_all_keys_have_a_place(target: str, module: VJEPA, tmp_path: Path) -> None:
    write(module, tmp_path / "a.pt", target)
    again, report = load_pretrained(VJEPA, tmp_path / "a.pt", {**GIVEN, "predictor_heads": 4})
    own, other = module.state_dict(), again.state_dict()
    assert own.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in own.items())
    assert set(report.skipped) == {f"predictor.mask_tokens.{number}" for number in range(2, 8)}
    assert again.hparams["context_loss"] == 0.5
    assert again.hparams["rope_grid"] == 16
    encoder, report = load_reference(tmp_path / "a.pt", heads=3, levels=[0, 1])
    assert report.entry == target
    for view in (torch.randn(2, 3, 4, 32, 32), torch.randn(2, 3, 1, 32, 32)):
        assert torch.equal(encoder(view), module.target_encoder(view))


@torch.no_grad()
def test_a_model_that_was_distilled_keeps_its_last_norm(module: VJEPA, tmp_path: Path) -> None:
    content = write(module, tmp_path / "a.pt", "ema_encoder")
    predictor = {name: value for name, value in content["predictor"].items() if "predictor_embed" not in name}
    predictor["module.backbone.predictor_embed.weight"] = torch.randn(48, 72)
    predictor["module.backbone.predictor_embed.bias"] = torch.randn(48)
    torch.save({"ema_encoder": content["ema_encoder"], "predictor": predictor}, tmp_path / "a.pt")
    again, report = load_pretrained(VJEPA, tmp_path / "a.pt", {name: GIVEN[name] for name in GIVEN if name != "levels"})
    view = torch.randn(2, 3, 4, 32, 32)
    torch.testing.assert_close(again.eval_encoder(view), module.target_encoder(view), rtol=0, atol=0)
    assert report.skipped["ema_encoder.norms_block.0.weight"].startswith("levels below the last")
    assert report.skipped["predictor.predictor_proj.weight"] == "it predicts a teacher's tokens"
    assert report.notes[-1].startswith("the predictor starts anew")


def test_levels_that_a_file_does_not_say(module: VJEPA, tmp_path: Path) -> None:
    write(module, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"norms of 2 levels and an encoder of 2 blocks, .* give levels, 2 numbers"):
        load_reference(tmp_path / "a.pt", heads=3)
