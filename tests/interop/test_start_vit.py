"""Runs that start from folders that `transformers` has written of a ViT or a DINOv2 of random weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from jepa_lightning import BYOL, DINO, IJEPA, MAE, VJEPA, SimCLR
from jepa_lightning.callbacks import StartFrom
from jepa_lightning.cli.main import main
from jepa_lightning.interop.pretrained import load_pretrained
from jepa_lightning.interop.start import start_from_
from jepa_lightning.nn import TimmViT

transformers = pytest.importorskip("transformers")
SIZE = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "patch_size": 8, "image_size": 32}
TINY = {"embed_dim": 48, "depth": 2, "num_heads": 3, "patch_size": 8}
SMALL = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "min_keep": 1}
CLOSE = {"atol": 1e-5, "rtol": 0}
SCALED = {"init_values": 0.3}
HALF = [0.5, 0.5, 0.5]


@pytest.fixture(autouse=True)
def offline(monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def built(kind: str, folder: Path, **options: Any) -> Any:
    """A model of `transformers` with random weights, biases and norms too, in a folder."""
    torch.manual_seed(0)
    sizes = SIZE if kind.startswith("Dino") else {**SIZE, "intermediate_size": 192}
    config = getattr(transformers, f"{kind.removesuffix('Model')}Config")(**{**sizes, **options})
    model = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def on_timm(size: int = 32, eps: float = 1e-6, **options: Any) -> IJEPA:
    network = TimmViT("vit_tiny_patch16_224", (size, size), options={**TINY, **options}, norm_eps=eps)
    return IJEPA(encoder=network, image_size=size, **SMALL)  # type: ignore[arg-type]


def of_a_named_size(**options: Any) -> IJEPA:
    sizes = {"width": 48, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8}
    return IJEPA("vit_tiny", **{**sizes, **SMALL, **options})


EQUAL: dict[str, tuple[str, dict[str, Any], dict[str, Any], str | None]] = {
    "ViT": ("ViTModel", {"layer_norm_eps": 1e-2}, {"eps": 1e-2}, None),
    "class token without a position": ("ViTModel", {"layer_norm_eps": 1e-6}, {"no_embed_class": True}, "cls_token"),
    "DINOv2": ("Dinov2Model", {}, SCALED, None),
    "registers": (
        "Dinov2WithRegistersModel",
        {"num_register_tokens": 3},
        {**SCALED, "reg_tokens": 3, "no_embed_class": True},
        "cls_token",
    ),
    "registers with positions": (
        "Dinov2WithRegistersModel",
        {"num_register_tokens": 3},
        {**SCALED, "reg_tokens": 3},
        "pos_embed",
    ),
}


@torch.no_grad()
@pytest.mark.parametrize("case", EQUAL)
def test_the_outputs_are_those_of_the_source(case: str, tmp_path: Path) -> None:
    kind, config, options, reshaped = EQUAL[case]
    theirs, module = built(kind, tmp_path, **config), on_timm(**options).eval()
    image, before = torch.randn(2, 3, 32, 32), module.predictor.state_dict()
    report = start_from_(module, str(tmp_path))
    for network in (module.context_encoder, module.target_encoder):
        torch.testing.assert_close(network(image), theirs(image).last_hidden_state[:, -16:], **CLOSE)
    names = [name for name in module.state_dict() if not name.startswith("predictor.")]
    assert sorted(report.loaded) == sorted(names)
    assert sorted(report.reshaped) == sorted(name for name in names if reshaped and name.endswith(reshaped))
    skipped = {"pooler.dense.weight", "pooler.dense.bias"} if kind == "ViTModel" else {"embeddings.mask_token"}
    assert set(report.skipped) == skipped
    assert report.notes == ["the target encoder starts as the other", "predictor starts anew"]
    assert all(torch.equal(value, before[name]) for name, value in module.predictor.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("kind", ["ViTModel", "Dinov2Model"])
def test_positions_are_interpolated_as_transformers_does(kind: str, tmp_path: Path) -> None:
    theirs = built(kind, tmp_path, layer_norm_eps=1e-6)
    module = on_timm(48, **(SCALED if kind == "Dinov2Model" else {})).eval()
    report = start_from_(module, str(tmp_path))
    image = torch.randn(2, 3, 48, 48)
    how = {"interpolate_pos_encoding": True} if kind == "ViTModel" else {}
    expected = theirs(image, **how).last_hidden_state[:, -36:]
    torch.testing.assert_close(module.target_encoder(image), expected, **CLOSE)
    said = "interpolated for the grid 6x6, that of the file is for 4x4"
    assert report.reshaped == {f"{name}.model.pos_embed": said for name in ("context_encoder", "target_encoder")}


def patches_alone(theirs: Any, image: Tensor) -> Tensor:
    """What a ViT makes of its patch tokens without the class token, layer for layer."""
    tokens = theirs.embeddings(image)[:, 1:]
    for layer in theirs.layers:
        found = layer(tokens)
        tokens = found[0] if isinstance(found, tuple) else found
    normed: Tensor = theirs.layernorm(tokens)
    return normed


@torch.no_grad()
def test_an_encoder_without_a_class_token_leaves_it_out(tmp_path: Path) -> None:
    theirs, module = built("ViTModel", tmp_path), of_a_named_size().eval()
    report = start_from_(module, str(tmp_path))
    image = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(module.target_encoder(image), patches_alone(theirs, image), **CLOSE)
    assert (module.target_encoder(image) - theirs(image).last_hidden_state[:, 1:]).abs().max() > 1e-3
    assert "no class token, so its patch tokens are not those of the source" in report.skipped["cls_token"]
    assert "norms have eps=1e-12 as there" in report.notes
    assert any("from the sin-cos table: that of the file is used" in note for note in report.notes)
    larger = of_a_named_size(image_size=48)
    report = start_from_(larger, str(tmp_path))
    assert report.reshaped["target_encoder.pos_embed"].startswith("interpolated for the grid 6x6")


@pytest.mark.parametrize("how", ["callback", "option"])
def test_a_run_starts_from_such_a_folder(how: str, quiet_trainer: Any, shapes: Any, tmp_path: Path) -> None:
    built("Dinov2Model", tmp_path / "dino")
    module, source = on_timm(**SCALED), str(tmp_path / "dino")
    if how == "option":
        module = IJEPA(**{**dict(module.hparams), "start_from": source})
    callbacks = [StartFrom(source)] if how == "callback" else []
    quiet_trainer(max_steps=1, limit_train_batches=0, callbacks=callbacks).fit(module, shapes())
    expected = IJEPA.from_pretrained(source, **SMALL).target_encoder.state_dict()  # type: ignore[arg-type]
    found = module.target_encoder.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


@torch.no_grad()
def test_methods_that_see_whole_images(tmp_path: Path) -> None:
    sizes = {"hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 2}
    theirs = built("ViTModel", tmp_path, **sizes, patch_size=16, layer_norm_eps=1e-6)
    module = BYOL("timm:test_vit", image_size=32, projector_dim=8, projector_hidden=8).eval()
    report = start_from_(module, str(tmp_path))
    image = torch.randn(2, 3, 32, 32)
    expected = theirs(image).last_hidden_state[:, 1:]
    for network in (module.encoder, module.target_encoder):
        torch.testing.assert_close(network(image), expected, **CLOSE)
    assert "predictor and projector and target_projector start anew" in report.notes


def test_what_is_not_taken_is_named(tmp_path: Path) -> None:
    built("ViTModel", tmp_path)
    transformers.ViTImageProcessor(image_mean=HALF, image_std=HALF).save_pretrained(tmp_path)
    notes = start_from_(on_timm(), str(tmp_path)).notes
    assert any(note.startswith("norms have eps=1e-12 there and keep their 1e-06 here") for note in notes)
    assert "mean is [0.5, 0.5, 0.5] there and stays [0.485, 0.456, 0.406] here: give mean for the same" in notes
    own = IJEPA(**{**dict(on_timm(eps=1e-12).hparams), "mean": HALF, "std": HALF})
    assert len(start_from_(own, str(tmp_path)).notes) == 2  # of the target and the predictor
    with pytest.raises(MisconfigurationException, match=r"norm_eps is 0\.01, and the norms of the weights have 1e-12"):
        StartFrom(str(tmp_path)).setup(None, of_a_named_size(norm_eps=1e-2), "fit")  # type: ignore[arg-type]


REFUSED: dict[str, tuple[str, dict[str, Any], Any, str]] = {
    "LayerScale, named": (
        "Dinov2Model",
        {},
        of_a_named_size,
        "has LayerScale, which encoders of named",
    ),
    "registers, named": (
        "Dinov2WithRegistersModel",
        {},
        of_a_named_size,
        "has register tokens, which encoders of named",
    ),
    "LayerScale": ("Dinov2Model", {}, on_timm, "has LayerScale, and the encoder here has none"),
    "no LayerScale": ("ViTModel", {}, lambda: on_timm(**SCALED), "has no LayerScale, and the encoder here has some"),
    "registers": ("Dinov2WithRegistersModel", {}, lambda: on_timm(**SCALED), "has register tokens, and the encoder"),
    "no registers": ("Dinov2Model", {}, lambda: on_timm(**SCALED, reg_tokens=2), "has no register tokens, and the"),
    "number of registers": (
        "Dinov2WithRegistersModel",
        {"num_register_tokens": 2},
        lambda: on_timm(**SCALED, reg_tokens=3),
        r"reg_token \[1, 2, 48\] for \[1, 3, 48\]",
    ),
    "SwiGLU": ("Dinov2Model", {"use_swiglu_ffn": True}, lambda: on_timm(**SCALED), "has SwiGLU"),
    "heads": ("ViTModel", {"num_attention_heads": 6}, on_timm, "has 6 attention heads, and the encoder here 3"),
    "heads, named": ("ViTModel", {"num_attention_heads": 6}, of_a_named_size, "has 6 attention heads.*give heads=6"),
    "depth": ("ViTModel", {"num_hidden_layers": 1}, on_timm, r"lacks blocks\.1\.norm1\.weight"),
    "channels": ("ViTModel", {"num_channels": 1}, on_timm, r"patch_embed\.proj\.weight \[48, 1, 8, 8\] for"),
    "norms of queries": ("ViTModel", {}, lambda: on_timm(qk_norm=True), r"lacks blocks\.0\.attn\.q_norm\.weight"),
    "another MLP": ("ViTModel", {}, lambda: on_timm(act_layer="quick_gelu"), "the MLPs of its encoder have QuickGELU"),
    "a ResNet": ("ViTModel", {}, lambda: SimCLR("resnet10t", image_size=32), "its encoder is timm's ResNet"),
    "no such encoder": (
        "ViTModel",
        {},
        lambda: MAE("vit_tiny", depth=1, image_size=32, patch_size=8, decoder_depth=1),
        "is a vit, and MAE has no encoder for it",
    ),
    "clips": (
        "ViTModel",
        {},
        lambda: VJEPA("vit_tiny", depth=1, image_size=32, patch_size=8, num_frames=4, min_keep=2),
        "is a vit, and VJEPA has no encoder for it",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_line(case: str, tmp_path: Path) -> None:
    kind, config, build, said = REFUSED[case]
    built(kind, tmp_path, **config)
    module = build()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(ValueError, match=said) as error:
        start_from_(module, str(tmp_path))
    assert "\n" not in str(error.value)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_other_heads_of_an_ijepa_are_refused(tmp_path: Path) -> None:
    """No shape of a tensor tells them."""
    built("IJepaModel", tmp_path, num_attention_heads=6)
    with pytest.raises(ValueError, match=r"6 attention heads in its context_encoder, and IJEPA has 3 here: give heads"):
        start_from_(of_a_named_size(), str(tmp_path))


@torch.no_grad()
def test_from_pretrained_at_another_size(tmp_path: Path) -> None:
    theirs = built("Dinov2WithRegistersModel", tmp_path, num_register_tokens=2)
    module, report = load_pretrained(IJEPA, tmp_path, {**SMALL, "image_size": 48})
    assert module.grid_size == (6, 6)  # that masks are drawn on
    image = torch.randn(2, 3, 48, 48)
    expected = theirs(image).last_hidden_state[:, -36:]
    torch.testing.assert_close(module.target_encoder(image), expected, **CLOSE)
    assert "interpolated for the grid 6x6" in report.reshaped["pos_embed"]


def test_from_pretrained_of_other_classes(tmp_path: Path) -> None:
    built("Dinov2Model", tmp_path)
    module = DINO.from_pretrained(tmp_path, drop_path=0.2)
    rates = [layer.drop_prob for layer in module.encoder.modules() if type(layer).__name__ == "DropPath"]
    assert max(rates) == pytest.approx(0.2)
    assert isinstance(DINO.from_pretrained(tmp_path).encoder, nn.Module)
    with pytest.raises(ValueError, match=r"is a model of images, and VJEPA is for clips: load it with IJEPA"):
        VJEPA.from_pretrained(tmp_path)


def test_the_command_starts_from_such_a_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])
    sizes = {"hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 2}
    theirs = built("ViTModel", tmp_path / "vit", **sizes, patch_size=16, image_size=160)
    main([
        "fit", "--model", "IJEPA", "--model.encoder", "timm:test_vit", "--model.image_size", "160",
        "--model.predictor_dim", "24", "--model.predictor_depth", "1", "--model.min_keep", "2", "--model.lr", "1e-9",
        "--model.start_from", "vit",
        "--data", "ShapesDataModule", "--data.image_size", "160", "--data.num_train", "4", "--data.num_val", "4",
        "--data.batch_size", "4", "--data.num_workers", "0", "--trainer.max_steps", "1", "--trainer.accelerator", "cpu",
        "--trainer.logger", "false", "--trainer.precision", "32-true",
    ])  # fmt: skip
    saved = torch.load(next(tmp_path.rglob("last.ckpt")), weights_only=True)["state_dict"]
    for name in ("context_encoder", "target_encoder"):
        torch.testing.assert_close(saved[f"{name}.model.norm.weight"], theirs.layernorm.weight.detach(), **CLOSE)
