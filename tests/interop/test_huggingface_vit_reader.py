"""Vision Transformers of `transformers` as they lie in a folder, and folders that are damaged."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from jepa_lightning.interop.huggingface_vit_reader import VIT_KINDS, open_vit

CONFIG = {"model_type": "vit", "num_attention_heads": 2, "layer_norm_eps": 1e-6, "image_size": [16, 24]}
LAYER = "encoder.layer.0."


def weights(registers: int = 0, kind: str = "vit", width: int = 4) -> dict[str, Tensor]:
    """Of one block, under the names of `transformers`; no value is another's."""
    norms = ("layernorm_before", "layernorm_after") if kind == "vit" else ("norm1", "norm2")
    mlp = ("intermediate.dense", "output.dense") if kind == "vit" else ("mlp.fc1", "mlp.fc2")
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.cls_token": (1, 1, width),
        "embeddings.position_embeddings": (1, 7, width),
        "embeddings.patch_embeddings.projection.weight": (width, 3, 8, 8),
        "embeddings.patch_embeddings.projection.bias": (width,),
        "layernorm.weight": (width,),
        "layernorm.bias": (width,),
        **({"embeddings.register_tokens": (1, registers, width)} if registers else {}),
    }
    layers = {**dict.fromkeys(norms, (width,)), mlp[0]: (4 * width, width), mlp[1]: (width, 4 * width)}
    layers |= {f"attention.attention.{name}": (width, width) for name in ("query", "key", "value")}
    layers["attention.output.dense"] = (width, width)
    for name, shape in layers.items():
        shapes |= {f"{LAYER}{name}.weight": shape, f"{LAYER}{name}.bias": shape[:1]}
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def write(folder: Path, state: dict[str, Any], **config: Any) -> Path:
    said = {name: value for name, value in {**CONFIG, **config}.items() if value != "left out"}
    (folder / "config.json").write_text(json.dumps(said))
    save_file({name: value for name, value in state.items() if value is not None}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("kind", VIT_KINDS)
def test_what_a_folder_says(kind: str, tmp_path: Path) -> None:
    registers = 2 if kind.endswith("registers") else 0
    state = weights(registers, kind)
    found = open_vit(write(tmp_path, state, model_type=kind))
    assert (found.size, found.patch, found.grid, found.heads, found.eps) == ((16, 24), 8, (2, 3), 2, 1e-6)
    assert found.skipped == {}
    assert torch.equal(found.weights["pos_embed"], state["embeddings.position_embeddings"])
    assert ("reg_token" in found.weights) == bool(registers)
    parts = [state[f"{LAYER}attention.attention.{name}.weight"] for name in ("query", "key", "value")]
    assert torch.equal(found.weights["blocks.0.attn.qkv.weight"], torch.cat(parts))
    assert sum(value.numel() for value in found.weights.values()) == sum(value.numel() for value in state.values())


@pytest.mark.parametrize("prefix", ["", "vit.", "dinov2."])
def test_heads_and_poolers_are_left_out_and_said(prefix: str, tmp_path: Path) -> None:
    more = {"pooler.dense.weight": torch.ones(1), "classifier.bias": torch.ones(1), "decoder.0.bias": torch.ones(1)}
    state = {prefix + name: value for name, value in {**weights(), "embeddings.mask_token": torch.ones(1)}.items()}
    found = open_vit(write(tmp_path, {**state, **more}))
    assert set(found.skipped) == {*more, f"{prefix}embeddings.mask_token"}
    assert found.skipped["classifier.bias"] == "a head"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"embeddings.cls_token": None}, "its weights have no cls_token of 3 axes"),
        ({"embeddings.position_embeddings": torch.ones(7, 4)}, "its weights have no pos_embed of 3 axes"),
        (
            {"embeddings.cls_token": torch.ones(1, 1, 5)},
            r"its cls_token has the shape \[1, 1, 5\], and its tokens a width",
        ),
        ({"embeddings.position_embeddings": torch.ones(2, 7, 4)}, r"its pos_embed has the shape \[2, 7, 4\]"),
        (
            {"embeddings.register_tokens": torch.ones(1, 2, 4)},
            r"no encoder of this kind has embeddings\.register_tokens",
        ),
        ({"embeddings.position_embeddings": torch.ones(1, 0, 4)}, "its table of positions has -1 patches"),
        ({"embeddings.position_embeddings": torch.ones(1, 1, 4)}, "its table of positions has 0 patches"),
        ({"embeddings.patch_embeddings.projection.weight": torch.ones(4, 3, 0, 0)}, "has 6 patches of 0 pixels"),
        ({"embeddings.patch_embeddings.projection.weight": torch.ones(0, 3, 8, 8)}, "its tokens a width of 0"),
        ({f"{LAYER}gate": torch.ones(1)}, rf"no encoder of this kind has {LAYER}gate"),
        ({f"{LAYER}attention.attention.key.bias": None}, r"the weights lack blocks\.0\.attn\.key\.bias"),
        ({"layers.0.layernorm_before.bias": torch.ones(4)}, r"have blocks\.0\.norm1\.bias twice: as"),
        ({"vit.layernorm.bias": torch.ones(4)}, r"have layernorm\.bias twice, with a prefix and without"),
    ],
)
def test_weights_that_are_damaged(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said) as error:
        open_vit(write(tmp_path, {**weights(), **changes}))
    assert str(error.value).startswith(f"cannot use {tmp_path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (torch.ones(4), "its weights have no reg_token of 3 axes"),
        (torch.ones(1, 2, 5), r"its reg_token has the shape \[1, 2, 5\], and its tokens a width of 4"),
        (torch.ones(2, 2, 4), r"its reg_token has the shape \[2, 2, 4\]"),
    ],
)
def test_register_tokens_that_are_damaged(tokens: Tensor, said: str, tmp_path: Path) -> None:
    kind = "dinov2_with_registers"
    state = {**weights(2, kind), "embeddings.register_tokens": tokens}
    with pytest.raises(ValueError, match=said):
        open_vit(write(tmp_path, state, model_type=kind))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"num_attention_heads": 3}, "its width 4 is no multiple of 3 heads"),
        ({"num_attention_heads": 0}, "its num_attention_heads is 0, and a whole number"),
        ({"num_attention_heads": "left out"}, "has no num_attention_heads"),
        ({"layer_norm_eps": "x"}, "its layer_norm_eps is 'x'"),
        ({"image_size": 16}, "its image_size is 16, and its table of positions has 6 patches"),
        ({"image_size": "left out"}, "has no image_size"),
        ({"use_swiglu_ffn": True}, "has SwiGLU: take the same model from timm"),
        ({"hidden_act": "relu"}, "its hidden_act is 'relu'"),
    ],
)
def test_a_configuration_that_does_not_fit(config: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        open_vit(write(tmp_path, weights(), **config))
