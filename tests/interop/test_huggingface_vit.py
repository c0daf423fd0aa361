"""Encoders of images that leave as models of `transformers`: the same outputs, class and register tokens too."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import ResPostBlock
from torch import nn

from jepa_lightning import IJEPA, MAE, SimCLR, WorldModel
from jepa_lightning.cli.main import main
from jepa_lightning.interop.huggingface_writer import write_huggingface
from jepa_lightning.nn import TimmViT

transformers = pytest.importorskip("transformers")
SMALL = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "min_keep": 1}
TINY = {"embed_dim": 48, "depth": 2, "num_heads": 3, "patch_size": 8}
CLOSE = {"atol": 1e-5, "rtol": 0}
HALF = [0.5, 0.5, 0.5]


@pytest.fixture(autouse=True)
def offline(monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def stir(network: nn.Module) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def on_timm(name: str, size: tuple[int, int] = (32, 32), **options: Any) -> IJEPA:
    network = TimmViT(f"timm:{name}", size, options={**TINY, **options}, norm_eps=1e-3)
    module = IJEPA(encoder=network, image_size=size, mean=(0.2, 0.3, 0.4), std=(0.5, 0.6, 0.7), **SMALL).eval()  # type: ignore[arg-type]
    stir(module)
    return module


def read_back(folder: Path, name: str) -> Any:
    """What `transformers` makes of a folder: every tensor has its place."""
    no_pooler = {"add_pooling_layer": False} if name == "ViTModel" else {}
    model, found = transformers.AutoModel.from_pretrained(folder, output_loading_info=True, **no_pooler)
    assert type(model).__name__ == name
    assert not found["missing_keys"]
    assert not found["unexpected_keys"]
    return model.eval()


KINDS: dict[str, tuple[str, tuple[int, int], dict[str, Any]]] = {
    "class token": ("ViTModel", (32, 32), {}),
    "class token, no squares": ("ViTModel", (32, 48), {}),
    "class token without a position": ("ViTModel", (32, 32), {"no_embed_class": True}),
    "LayerScale": ("Dinov2Model", (32, 32), {"init_values": 0.3}),
    "LayerScale, class token alone": ("Dinov2Model", (32, 32), {"init_values": 1.0, "no_embed_class": True}),
    "registers": ("Dinov2WithRegistersModel", (32, 32), {"init_values": 0.3, "reg_tokens": 2, "no_embed_class": True}),
    "registers with positions": ("Dinov2WithRegistersModel", (32, 32), {"init_values": 0.3, "reg_tokens": 2}),
    "neither": ("IJepaModel", (32, 48), {"class_token": False, "global_pool": "avg", "fc_norm": False}),
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_encoders_of_timm(kind: str, tmp_path: Path) -> None:
    name, size, options = KINDS[kind]
    module = on_timm("vit_tiny_patch16_224", size, **options)
    assert write_huggingface(module, tmp_path / "out") == name
    image = torch.randn(2, 3, *size)
    found = read_back(tmp_path / "out", name)(image).last_hidden_state
    torch.testing.assert_close(found, module.target_encoder.model.forward_features(image), **CLOSE)  # type: ignore[operator, union-attr]
    said = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert said["image_mean"] == [0.2, 0.3, 0.4]
    again = IJEPA.from_pretrained(tmp_path / "out", **SMALL)
    torch.testing.assert_close(again.target_encoder(image), module.target_encoder(image), **CLOSE)
    assert again.mean == (0.2, 0.3, 0.4)
    assert again.std == (0.5, 0.6, 0.7)


def built(kind: str, folder: Path, **options: Any) -> Any:
    """A model of `transformers` with its preprocessor."""
    config = getattr(transformers, f"{kind.removesuffix('Model')}Config")(
        hidden_size=48, num_hidden_layers=2, num_attention_heads=3, patch_size=8, image_size=32, **options
    )
    model = getattr(transformers, kind)(config).eval()
    stir(model)
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(image_mean=HALF, image_std=HALF).save_pretrained(folder)
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("ViTModel", {"intermediate_size": 96, "layer_norm_eps": 1e-2}),
        ("Dinov2Model", {"mlp_ratio": 2}),
        ("Dinov2WithRegistersModel", {"num_register_tokens": 3}),
    ],
)
def test_models_of_transformers_go_back_as_they_came(kind: str, options: dict[str, Any], tmp_path: Path) -> None:
    theirs = built(kind, tmp_path / "theirs", **options)
    module = IJEPA.from_pretrained(tmp_path / "theirs", **SMALL)
    assert module.mean == module.std == (0.5, 0.5, 0.5)
    module.save_pretrained(tmp_path / "ours")
    kept = IJEPA.from_pretrained(tmp_path / "ours")  # with the eps of the file
    assert write_huggingface(kept, tmp_path / "out") == kind
    image = torch.randn(2, 3, 32, 32)
    found = read_back(tmp_path / "out", kind)(image).last_hidden_state
    torch.testing.assert_close(found, theirs(image).last_hidden_state, **CLOSE)
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("theirs", "out"))
    if kind == "Dinov2WithRegistersModel":  # where the class token has taken up its position
        joined = before["embeddings.cls_token"] + before["embeddings.position_embeddings"][:, :1]
        assert torch.equal(after["embeddings.cls_token"], joined)
        assert not after["embeddings.position_embeddings"][:, 0].any()
    else:
        left = {"pooler.dense.weight", "pooler.dense.bias", "embeddings.mask_token"}
        assert after.keys() == before.keys() - left
        assert all(torch.equal(value, before[name]) for name, value in after.items())
    said = json.loads((tmp_path / "out" / "preprocessor_config.json").read_text())
    assert said["image_mean"] == said["image_std"] == HALF


@torch.no_grad()
def test_encoders_of_other_methods(tmp_path: Path) -> None:
    image = torch.randn(2, 3, 32, 32)
    size = {"width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}
    mae = MAE("vit_tiny", decoder_depth=1, decoder_dim=24, decoder_heads=3, **size).eval()  # type: ignore[arg-type]
    stir(mae)
    assert write_huggingface(mae, tmp_path / "mae") == "IJepaModel"
    found = read_back(tmp_path / "mae", "IJepaModel")(image).last_hidden_state
    torch.testing.assert_close(found, mae.encoder(image), **CLOSE)
    world = WorldModel("vit_tiny", pool="class", in_channels=3, **size).eval()  # type: ignore[arg-type]
    stir(world)
    assert write_huggingface(world, tmp_path / "world") == "ViTModel"
    found = read_back(tmp_path / "world", "ViTModel")(image).last_hidden_state
    torch.testing.assert_close(found[:, :1], world.encoder(image), **CLOSE)
    pair = SimCLR("timm:vit_tiny_patch16_224", image_size=32, projector_dim=8, projector_hidden=8).eval()
    stir(pair)
    assert write_huggingface(pair, tmp_path / "pair") == "ViTModel"
    found = read_back(tmp_path / "pair", "ViTModel")(image).last_hidden_state
    torch.testing.assert_close(found[:, 1:], pair.encoder(image), **CLOSE)


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "registers alone": ("vit_tiny_patch16_224", {"reg_tokens": 2}, "register tokens and no LayerScale"),
    "LayerScale alone": (
        "vit_tiny_patch16_224",
        {"init_values": 0.3, "class_token": False, "global_pool": "avg", "fc_norm": False},
        "LayerScale and no class token",
    ),
    "norms of queries": ("vit_tiny_patch16_224", {"qk_norm": True}, r"has blocks\.0\.attn\.k_norm\.bias"),
    "no bias": ("vit_tiny_patch16_224", {"qkv_bias": False}, r"has no blocks\.0\.attn\.qkv\.bias"),
    "SwiGLU": ("vit_giant_patch14_dinov2", {"mlp_ratio": 4.0}, "are of Block, Attention, GluMlp"),
    "another activation": ("vit_tiny_patch16_224", {"act_layer": "quick_gelu"}, "have QuickGELU"),
    "an approximation": ("vit_tiny_patch16_224", {"act_layer": "gelu_tanh"}, "have GELUTanh"),
    "norm behind the pooling": ("vit_tiny_patch16_224", {"global_pool": "avg"}, "last norm behind the pooling"),
    "norm before the blocks": ("vit_tiny_patch16_224", {"pre_norm": True}, "more than to project patches"),
    "a broken ratio": ("vit_tiny_patch16_224", {"init_values": 0.3, "mlp_ratio": 1.5}, "1.5 times as wide"),
    "rotary": ("vit_small_patch16_dinov3", {}, "timm's Eva"),
    "norms behind branches": ("vit_tiny_patch16_224", {"block_fn": ResPostBlock}, "are of ResPostBlock"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_model_of_transformers(case: str, tmp_path: Path) -> None:
    name, options, said = REFUSED[case]
    with pytest.raises(ValueError, match=rf"IJEPA has no like in transformers: .*{said}.*: convert to") as error:
        write_huggingface(on_timm(name, **options), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_images_that_are_no_squares(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images of 32 x 48 pixels are no squares, and those of Dinov2Model are"):
        write_huggingface(on_timm("vit_tiny_patch16_224", (32, 48), init_values=0.3), tmp_path / "out")


def test_convolutional_patches_are_not_for_timm_either(tmp_path: Path) -> None:
    module = SimCLR("vit_tiny", depth=1, image_size=32, patch_size=8, patch_embedding="convolutional")
    with pytest.raises(ValueError, match=r"its encoder has patch_embedding=convolutional: convert to safetensors\."):
        write_huggingface(module, tmp_path / "out")


def test_a_resnet(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its encoder is timm's ResNet"):
        write_huggingface(SimCLR("resnet10t", image_size=32), tmp_path / "out")


def test_the_command_says_how_a_vit_is_read(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    built("ViTModel", tmp_path / "theirs", intermediate_size=96)
    main(["convert", "theirs", "out", "--to", "hf"])
    assert "transformers.ViTModel.from_pretrained('out', add_pooling_layer=False)" in capsys.readouterr().out
