"""Models that `transformers` builds with random weights, into networks here and back: the same outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.interop import load_reference
from jepa_lightning.interop.huggingface_writer import write_huggingface
from jepa_lightning.interop.own_checkpoint import write_checkpoint
from jepa_lightning.nn import AttentiveClassifier, take_tokens

transformers = pytest.importorskip("transformers")
SIZE = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "patch_size": 8}
IMAGES = {**SIZE, "intermediate_size": 192, "image_size": 32, "layer_norm_eps": 1e-6}
CLIPS = {
    **SIZE, "hidden_size": 72, "crop_size": 32, "frames_per_clip": 8, "pred_hidden_size": 48,
    "pred_num_attention_heads": 4, "pred_num_hidden_layers": 2, "pred_num_mask_tokens": 2, "num_pooler_layers": 3,
}  # fmt: skip
SMALL = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "min_keep": 2}
CLOSE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(autouse=True)
def offline(monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def built(kind: str, folder: Path, **options: Any) -> Any:
    """A model of random weights, biases and norms too, in a folder."""
    torch.manual_seed(0)
    name = kind.removesuffix("Model").removesuffix("ForImageClassification").removesuffix("ForVideoClassification")
    config = getattr(transformers, f"{name}Config")(**options)
    model = getattr(transformers, kind)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


@torch.no_grad()
@pytest.mark.parametrize("kind", ["IJepaModel", "IJepaForImageClassification"])
@pytest.mark.parametrize("size", [32, (32, 48)])
def test_ijepa(kind: str, size: Any, tmp_path: Path) -> None:
    theirs = built(kind, tmp_path, **{**IMAGES, "image_size": list(size) if isinstance(size, tuple) else size})
    theirs = getattr(theirs, "ijepa", theirs)
    module = IJEPA.from_pretrained(tmp_path, **SMALL)
    image = torch.randn(2, 3, *((32, 32) if size == 32 else size))
    for network in (module.context_encoder, module.target_encoder, load_reference(tmp_path).network):
        torch.testing.assert_close(network(image), theirs(image).last_hidden_state, **CLOSE)
    assert module.mean == (0.485, 0.456, 0.406)
    # what the hub has of the published ones, which is not what they were trained with
    transformers.ViTImageProcessor().save_pretrained(tmp_path)
    assert IJEPA.from_pretrained(tmp_path, **SMALL).mean == (0.485, 0.456, 0.406)
    transformers.ViTImageProcessor(do_normalize=False).save_pretrained(tmp_path)
    assert IJEPA.from_pretrained(tmp_path, **SMALL).std == (1.0, 1.0, 1.0)


@torch.no_grad()
def test_norms_take_the_eps_of_the_file(tmp_path: Path) -> None:
    theirs = built("IJepaModel", tmp_path, **{**IMAGES, "layer_norm_eps": 0.1})
    network, report = load_reference(tmp_path)
    image = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(network(image), theirs(image).last_hidden_state, **CLOSE)
    assert "norms have eps=0.1 as in the file" in report.notes


@torch.no_grad()
@pytest.mark.parametrize("kind", ["IJepaModel", "VJEPA2Model"])
def test_the_eps_of_the_file_is_in_checkpoints_of_the_module(kind: str, tmp_path: Path) -> None:
    clips = kind == "VJEPA2Model"
    theirs = built(kind, tmp_path / "hf", **{**(CLIPS if clips else IMAGES), "layer_norm_eps": 1e-2})
    cls: Any = VJEPA if clips else IJEPA
    module = cls.from_pretrained(tmp_path / "hf", **({"min_keep": 2} if clips else SMALL))
    assert module.hparams["norm_eps"] == 1e-2
    write_checkpoint(module, tmp_path / "a.ckpt")
    again = cls.load_from_checkpoint(tmp_path / "a.ckpt").eval()
    view = torch.randn(2, 3, 8, 32, 32) if clips else torch.randn(2, 3, 32, 32)
    expected = theirs(view.transpose(1, 2), skip_predictor=True) if clips else theirs(view)
    for network in (again.context_encoder, again.target_encoder):
        torch.testing.assert_close(network(view), expected.last_hidden_state, **CLOSE)
    assert torch.equal(again(view), module(view))
    write_huggingface(again, tmp_path / "back")
    assert cls.from_pretrained(tmp_path / "back").hparams["norm_eps"] == 1e-2
    # it matters
    plain = cls.load_from_checkpoint(tmp_path / "a.ckpt", norm_eps=1e-6).eval()
    assert (plain(view) - again(view)).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("kind", ["VJEPA2Model", "VJEPA2ForVideoClassification"])
def test_vjepa2_with_its_predictor_and_probe(kind: str, tmp_path: Path) -> None:
    theirs = built(kind, tmp_path, **CLIPS, num_labels=5)
    module = VJEPA.from_pretrained(tmp_path, min_keep=2)
    clip = torch.randn(2, 3, 8, 32, 32)
    base = getattr(theirs, "vjepa2", theirs)
    order = torch.rand(2, 64).argsort(dim=1)
    contexts, targets = [order[:, :20], order[:, :9]], [order[:, 20:50], order[:, 9:30]]
    tokens = module.target_encoder(clip)
    for context, target in zip(contexts, targets, strict=True):
        found = base(clip.transpose(1, 2), context_mask=[context], target_mask=[target])
        torch.testing.assert_close(tokens, found.last_hidden_state, **CLOSE)
        predicted = module.predictor(take_tokens(tokens, context), context, target[:, None], mask_index=1)[:, 0]
        torch.testing.assert_close(predicted, found.predictor_output.last_hidden_state, **CLOSE)
    if kind == "VJEPA2ForVideoClassification":
        probe, _ = load_reference(tmp_path, "probe")
        torch.testing.assert_close(probe(tokens), theirs(clip.transpose(1, 2)).logits, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "options"),
    [("ViTModel", {}), ("Dinov2Model", {"mlp_ratio": 4}), ("Dinov2WithRegistersModel", {"num_register_tokens": 2})],
)
def test_encoders_with_class_and_register_tokens(kind: str, options: dict[str, int], tmp_path: Path) -> None:
    theirs = built(kind, tmp_path, **IMAGES, **options)
    module = IJEPA.from_pretrained(tmp_path, **SMALL)
    image = torch.randn(2, 3, 32, 32)
    expected = theirs(image).last_hidden_state[:, -16:]
    torch.testing.assert_close(module.target_encoder(image), expected, **CLOSE)
    module.save_pretrained(tmp_path / "ours")
    again = IJEPA.from_pretrained(tmp_path / "ours")
    torch.testing.assert_close(again.target_encoder(image), expected, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_ours_is_read_by_transformers(size: tuple[int, int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = IJEPA("vit_tiny", width=48, depth=2, heads=3, image_size=size, patch_size=8, **SMALL).eval()
    for parameter in module.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    image = torch.randn(2, 3, *size)
    for which in ("target_encoder", "context_encoder"):
        folder = tmp_path / which
        assert write_huggingface(module, folder, which) == "IJepaModel"
        theirs, found = transformers.AutoModel.from_pretrained(folder, output_loading_info=True)
        assert not found["missing_keys"]
        assert not found["unexpected_keys"]
        expected = getattr(module, which)(image)
        torch.testing.assert_close(theirs.eval()(image).last_hidden_state, expected, **CLOSE)
        again = IJEPA.from_pretrained(folder, **SMALL)
        state = getattr(module, which).state_dict()
        assert all(torch.equal(value, state[name]) for name, value in again.target_encoder.state_dict().items())


@torch.no_grad()
def test_our_clips_predictor_and_probe_are_read_by_transformers(vjepa2: VJEPA, tmp_path: Path) -> None:
    torch.manual_seed(0)
    probe = AttentiveClassifier(72, 5, depth=4, heads=3, generation=2, eps=1e-6).eval()
    for parameter in probe.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    clip = torch.randn(2, 3, 8, 32, 32)
    tokens, context = vjepa2.target_encoder(clip), torch.arange(20).expand(2, -1)
    target = torch.arange(20, 50).expand(2, -1)
    assert write_huggingface(vjepa2, tmp_path / "a", probe=probe) == "VJEPA2ForVideoClassification"
    theirs = transformers.VJEPA2ForVideoClassification.from_pretrained(tmp_path / "a").eval()
    torch.testing.assert_close(theirs(clip.transpose(1, 2)).logits, probe(tokens), **CLOSE)
    write_huggingface(vjepa2, tmp_path / "b")
    theirs = transformers.VJEPA2Model.from_pretrained(tmp_path / "b").eval()
    found = theirs(clip.transpose(1, 2), context_mask=[context], target_mask=[target])
    predicted = vjepa2.predictor(take_tokens(tokens, context), context, target[:, None], mask_index=1)[:, 0]
    torch.testing.assert_close(found.predictor_output.last_hidden_state, predicted, **CLOSE)
    again = VJEPA.from_pretrained(tmp_path / "b")
    for network in ("target_encoder", "predictor"):
        state = getattr(vjepa2, network).state_dict()
        assert all(torch.equal(value, state[name]) for name, value in getattr(again, network).state_dict().items())


@torch.no_grad()
def test_the_preprocessor_is_that_of_validation(ijepa: IJEPA, vjepa2: VJEPA, tmp_path: Path) -> None:
    from PIL import Image

    write_huggingface(ijepa, tmp_path / "images")
    noise = torch.randint(0, 256, (6, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    image = Image.fromarray(noise.numpy()).resize((96, 64))
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path / "images")(image, return_tensors="pt")
    torch.testing.assert_close(theirs["pixel_values"], ijepa.preprocess(image), atol=0.03, rtol=0)  # one of 255 apart
    write_huggingface(vjepa2, tmp_path / "clips")
    processor = transformers.AutoVideoProcessor.from_pretrained(tmp_path / "clips")
    assert list(processor.image_mean) == pytest.approx(vjepa2.mean)
    assert processor.crop_size["height"] == 32


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (
            lambda: VJEPA("vit_tiny", depth=1, image_size=32, patch_size=8, num_frames=4, min_keep=2),
            "adds its positions",
        ),
        (
            lambda: VJEPA("vit_tiny", depth=1, image_size=32, patch_size=8, num_frames=4, min_keep=2, rope=True),
            "its rope_style is exact",
        ),
        (
            lambda: VJEPA(
                "vit_tiny",
                depth=1,
                image_size=32,
                patch_size=8,
                num_frames=1,
                min_keep=2,
                rope=True,
                rope_style="vjepa2",
            ),
            "it rotates in images",
        ),
    ],
)
def test_what_transformers_has_not(build: Callable[[], Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        write_huggingface(build(), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_tensor_that_has_no_place(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    built("IJepaModel", tmp_path, **IMAGES)
    state = load_file(tmp_path / "model.safetensors")
    save_file({**state, "encoder.layer.0.gate": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"no encoder of this kind has encoder\.layer\.0\.gate"):
        IJEPA.from_pretrained(tmp_path)
