"""Folders of `transformers`: their files, and modules that have no such form."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from jepa_lightning import IJEPA, VJEPA, SimCLR
from jepa_lightning.interop.huggingface_writer import write_huggingface
from jepa_lightning.nn import AttentiveClassifier


def config_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


def test_an_encoder_of_images(ijepa: IJEPA, tmp_path: Path) -> None:
    assert write_huggingface(ijepa, tmp_path / "a") == "IJepaModel"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "config.json", "model.safetensors", "preprocessor_config.json",
    ]  # fmt: skip
    assert config_of(tmp_path / "a") == {
        "architectures": ["IJepaModel"], "model_type": "ijepa", "hidden_size": 48, "intermediate_size": 192,
        "num_hidden_layers": 2, "num_attention_heads": 3, "patch_size": 8, "image_size": 32, "num_channels": 3,
        "hidden_act": "gelu", "qkv_bias": True, "layer_norm_eps": 1e-6, "attention_probs_dropout_prob": 0.0,
        "hidden_dropout_prob": 0.0, "initializer_range": 0.02, "dtype": "float32",
    }  # fmt: skip
    write_huggingface(ijepa, tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("which", ["target_encoder", "context_encoder"])
def test_either_encoder(which: str, ijepa: IJEPA, tmp_path: Path) -> None:
    write_huggingface(ijepa, tmp_path / "a", which)
    found = load_file(tmp_path / "a" / "model.safetensors")
    assert torch.equal(found["layernorm.bias"], getattr(ijepa, which).norm.bias)


def test_a_method_without_a_target_has_one_encoder(tmp_path: Path) -> None:
    module = SimCLR("vit_tiny", depth=1, image_size=32, patch_size=8)
    assert write_huggingface(module, tmp_path / "a") == "IJepaModel"
    found = load_file(tmp_path / "a" / "model.safetensors")
    assert torch.equal(found["layernorm.weight"], module.eval_encoder.state_dict()["norm.weight"])


def test_an_encoder_of_clips(vjepa2: VJEPA, tmp_path: Path) -> None:
    assert write_huggingface(vjepa2, tmp_path / "a") == "VJEPA2Model"
    assert (tmp_path / "a" / "video_preprocessor_config.json").is_file()
    found = config_of(tmp_path / "a")
    assert (found["model_type"], found["crop_size"], found["num_attention_heads"]) == ("vjepa2", 32, 3)
    assert "num_channels" not in found


def test_images_of_another_shape(tmp_path: Path) -> None:
    module = IJEPA("vit_tiny", depth=1, image_size=(32, 48), patch_size=8, predictor_depth=1, min_keep=2)
    write_huggingface(module, tmp_path / "a")
    assert config_of(tmp_path / "a")["image_size"] == [32, 48]


def test_what_has_no_form_says_the_class_and_writes_nothing(ijepa: IJEPA, vjepa: VJEPA, tmp_path: Path) -> None:
    probe = AttentiveClassifier(48, 3, depth=4, heads=3, generation=2)
    for module, given, said in (
        (ijepa, probe, r"^IJEPA has no like in transformers: there is no model of images with an attentive probe\.$"),
        (vjepa, None, r"^VJEPA has no like in transformers: it adds its positions to clips, .*\.$"),
    ):
        with pytest.raises(ValueError, match=said):
            write_huggingface(module, tmp_path / "a", probe=given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_not_written(value: float, ijepa: IJEPA, tmp_path: Path) -> None:
    module = IJEPA(**dict(ijepa.hparams))
    module.target_encoder.norm.bias.data.fill_(value)
    with pytest.raises(
        ValueError, match=r"cannot use the weights of the encoder: 48 values of layernorm\.bias are not"
    ):
        write_huggingface(module, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder_and_a_readme_stays(ijepa: IJEPA, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="is a file, and a folder is to be written"):
        write_huggingface(ijepa, tmp_path / "file")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "README.md").write_text("mine")
    write_huggingface(ijepa, tmp_path / "a")
    assert (tmp_path / "a" / "README.md").read_text() == (tmp_path / "file").read_text() == "mine"
