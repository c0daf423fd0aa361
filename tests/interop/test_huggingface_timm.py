"""Vision Transformers of `transformers` as encoders that are timm's."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from jepa_lightning import IJEPA, VJEPA, SimCLR
from jepa_lightning.interop.fitting import NotLikeError
from jepa_lightning.interop.huggingface_timm import (
    encoders_of,
    is_on_timm,
    load_vit_,
    module_on_timm,
    start_on_timm_,
)
from jepa_lightning.interop.huggingface_vit_reader import HuggingFaceViT, open_vit
from jepa_lightning.interop.huggingface_writer import write_huggingface
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.nn import TimmViT

TINY = {"embed_dim": 24, "depth": 1, "num_heads": 3, "patch_size": 8}
SMALL = {"image_size": 32, "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "min_keep": 2}


def network(**options: Any) -> TimmViT:
    eps = options.pop("norm_eps", 1e-6)
    return TimmViT("vit_tiny_patch16_224", (32, 32), options={**TINY, **options}, norm_eps=eps)


def on_timm(**options: Any) -> IJEPA:
    return IJEPA(encoder=network(**options), **SMALL)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """Of a `ViTModel` with random weights."""
    torch.manual_seed(1)
    module = on_timm()
    for parameter in module.target_encoder.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape))
    place = Path(tmp_path_factory.mktemp("vit"), "model")
    assert write_huggingface(module, place) == "ViTModel"
    return place


@pytest.fixture
def found(folder: Path) -> HuggingFaceViT:
    return open_vit(folder)


def test_encoders_of_a_module_by_name() -> None:
    module = nn.Module()
    module.encoder, module.predictor, module.target_encoder = nn.Linear(1, 1), nn.Linear(1, 1), None  # type: ignore[assignment]
    assert encoders_of(module) == {"encoder": module.encoder}
    assert not is_on_timm(module)
    assert not is_on_timm(nn.Module())
    module.encoder = network()
    assert is_on_timm(module)
    module.context_encoder = nn.Linear(1, 1)
    assert not is_on_timm(module)


def test_a_network_takes_all_weights(found: HuggingFaceViT) -> None:
    model, report = network().model, LoadReport("a")
    load_vit_(model, found, report)
    assert torch.equal(model.state_dict()["blocks.0.attn.qkv.weight"], found.weights["blocks.0.attn.qkv.weight"])
    assert sorted(report.loaded) == sorted(f"model.{name}" for name in model.state_dict())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reg_tokens": 2}, "a has no register tokens, and the encoder here has some: choose an encoder like that"),
        ({"init_values": 0.1}, "a has no LayerScale, and the encoder here has some"),
        ({"num_heads": 2}, "a has 3 attention heads, and the encoder here 2"),
        ({"qk_norm": True}, "a does not fit: it lacks"),
        ({"fc_norm": True, "global_pool": "avg"}, "its encoder has its last norm behind the pooling"),
        ({"embed_dim": 48}, "in another shape"),
        ({"depth": 2}, "a does not fit: it lacks"),
    ],
)
def test_a_network_that_is_not_like_it_is_refused(options: dict[str, Any], said: str, found: HuggingFaceViT) -> None:
    model = network(**options).model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=said):
        load_vit_(model, found, LoadReport("a"))
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize(("name", "part"), [("reg_token", "register tokens"), ("blocks.0.ls1.gamma", "LayerScale")])
def test_parts_that_the_network_has_not(name: str, part: str, found: HuggingFaceViT) -> None:
    given = found._replace(weights={**found.weights, name: torch.ones(24)})
    with pytest.raises(NotLikeError, match=rf"^a has {part}, and the encoder here has none: choose"):
        load_vit_(network().model, given, LoadReport("a"))


def test_values_that_are_not_finite(found: HuggingFaceViT) -> None:
    given = found._replace(weights={**found.weights, "norm.bias": torch.full((24,), torch.nan)})
    with pytest.raises(ValueError, match=r"cannot use a: 24 values of norm\.bias are not finite"):
        load_vit_(network().model, given, LoadReport("a"))


def test_a_module_starts_with_both_of_its_encoders(found: HuggingFaceViT) -> None:
    module, report = on_timm(norm_eps=0.1), LoadReport("a")
    start_on_timm_(module, found._replace(skipped={"classifier.bias": "a head"}), report)
    for encoder in (module.context_encoder, module.target_encoder):
        assert torch.equal(encoder.model.norm.bias, found.weights["norm.bias"])
    names = {name.partition(".")[0] for name in report.loaded}
    assert names == {"context_encoder", "target_encoder"}
    assert report.skipped == {"classifier.bias": "a head"}
    assert report.notes == [
        "the target encoder starts as the other",
        "predictor starts anew",
        "norms have eps=1e-06 there and keep their 0.1 here; for the same, give the encoder as the class path "
        "jepa_lightning.nn.TimmViT with norm_eps",
    ]


def test_a_module_is_built_on_a_folder(folder: Path, found: HuggingFaceViT) -> None:
    module, report = module_on_timm(IJEPA, folder, {"min_keep": 2, "predictor_depth": 1, "drop_path": 0.2})
    assert module.image_size == (32, 32)
    assert torch.equal(module.target_encoder.model.norm.bias, found.weights["norm.bias"])
    assert module.context_encoder.hparams["norm_eps"] == 1e-6
    assert module.context_encoder.hparams["drop_path"] == 0.2
    assert "mean and std are those of its preprocessor_config.json" in report.notes
    pair, report = module_on_timm(SimCLR, folder, {"image_size": [64, 64]})
    assert tuple(pair.image_size) == (64, 64)
    assert report.reshaped["pos_embed"].startswith("interpolated for the grid 8x8")


def test_a_class_for_clips_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"is a model of images, and VJEPA is for clips: load it with IJEPA\."):
        module_on_timm(VJEPA, folder, {})


def test_statistics_that_are_given_come_first(folder: Path, tmp_path: Path) -> None:
    module, _ = module_on_timm(IJEPA, folder, {"min_keep": 2, "predictor_depth": 1, "mean": (0.5, 0.5, 0.5)})
    assert module.mean == (0.5, 0.5, 0.5)
    said = json.loads((folder / "preprocessor_config.json").read_text())
    assert list(module.std) == said["image_std"]
