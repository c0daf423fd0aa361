"""timm's networks into ours and back, and its Vision Transformers under masks against a slow gather."""

import functools
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from jepa_lightning import IJEPA, VJEPA, SimCLR
from jepa_lightning.interop.huggingface_writer import write_huggingface
from jepa_lightning.interop.reference_writer import reference_content
from jepa_lightning.interop.timm_reader import of_network
from jepa_lightning.interop.timm_writer import write_timm
from jepa_lightning.nn import TimmViT

SMALL = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "min_keep": 2}
TINY = {"embed_dim": 48, "depth": 2, "num_heads": 3}
PLAIN = {"class_token": False, "global_pool": "avg", "fc_norm": False, "num_classes": 0}


def stir(network: nn.Module) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_an_encoder_of_timm_into_ours_and_back(size: tuple[int, int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("vit_huge_patch14_gap_224", img_size=size, patch_size=8, **TINY, **PLAIN).eval()
    stir(theirs)
    from jepa_lightning.interop.reference_module import module_of

    module, _ = module_of(IJEPA, of_network(theirs, "timm:tiny"), SMALL)
    module.eval()
    image = torch.randn(2, 3, *size)
    torch.testing.assert_close(module.target_encoder(image), theirs.forward_features(image), atol=1e-5, rtol=0)
    stir(module.target_encoder)
    for name in ("a.safetensors", "a.pth"):
        call = write_timm(module, tmp_path / name)
        again = eval(call, {"timm": timm}).eval()  # the call is what is tested
        expected = module.target_encoder(image)
        torch.testing.assert_close(again.forward_features(image), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(again(image), expected.mean(dim=1), atol=1e-5, rtol=0)
    write_timm(module, tmp_path / "c.safetensors", "context_encoder")
    saved = load_file(tmp_path / "c.safetensors")
    assert all(torch.equal(value, module.context_encoder.state_dict()[name]) for name, value in saved.items())
    with pytest.raises(ValueError, match=r"is there already"):
        write_timm(module, tmp_path / "a.pth")


@torch.no_grad()
def test_encoders_that_are_timms_go_back_as_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = IJEPA("timm:vit_tiny_patch16_224", image_size=64, **{**SMALL, "min_keep": 1}).eval()
    image = torch.randn(2, 3, 64, 64)
    again = eval(write_timm(module, tmp_path / "a.safetensors"), {"timm": timm}).eval()
    expected = module.target_encoder(image)
    torch.testing.assert_close(again.forward_features(image)[:, 1:], expected, atol=1e-5, rtol=0)
    pair = SimCLR("resnet10t", image_size=32).eval()
    again = eval(write_timm(pair, tmp_path / "b.pth"), {"timm": timm}).eval()
    small = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again(small), pair(small), atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_eps_of_the_norms_goes_with_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = TimmViT("vit_tiny_patch16_224", (32, 32), options={**TINY, "patch_size": 8}, norm_eps=0.1)
    module = IJEPA(encoder=network, image_size=32, **{**SMALL, "min_keep": 1}).eval()
    again = eval(write_timm(module, tmp_path / "a.pth"), {"timm": timm, "torch": torch, "functools": functools}).eval()
    image = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(again.forward_features(image)[:, 1:], module.target_encoder(image), atol=1e-5, rtol=0)
    sizes = {"width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}
    module = IJEPA("vit_tiny", **sizes, **{**SMALL, "min_keep": 1}, norm_eps=0.1).eval()
    again = eval(write_timm(module, tmp_path / "b.pth"), {"timm": timm, "torch": torch, "functools": functools}).eval()
    torch.testing.assert_close(again.forward_features(image), module.target_encoder(image), atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match=r"norms with eps=1e-06, and this module's have 0\.1: convert to hf"):
        reference_content(module)


@torch.no_grad()
def test_registers_go_with_the_rest(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"width": 48, "depth": 2, "heads": 3, "image_size": (32, 48), "patch_size": 8}
    module = IJEPA("vit_tiny", **sizes, **SMALL, registers=3).eval()
    stir(module.target_encoder)
    again = eval(write_timm(module, tmp_path / "a.safetensors"), {"timm": timm}).eval()
    image = torch.randn(2, 3, 32, 48)
    expected = module.target_encoder(image)
    torch.testing.assert_close(again.forward_features(image)[:, 3:], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(again(image), expected.mean(dim=1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("option", "said"), [({"registers": 2}, "register tokens"), ({"patch_embedding": "convolutional"}, "patch_embed")]
)
def test_what_the_reference_and_transformers_have_not(option: dict[str, Any], said: str, tmp_path: Path) -> None:
    sizes = {"width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}
    module = IJEPA("vit_tiny", **sizes, **SMALL, **option)
    with pytest.raises(ValueError, match=rf"the reference has no {said}.*: convert to") as error:
        reference_content(module)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=rf"IJEPA has no like in transformers: its encoder has {said}.*: convert to"):
        write_huggingface(module, tmp_path / "hf")
    assert not list(tmp_path.iterdir())


def test_registers_of_an_encoder_of_clips_have_no_like_in_transformers(tmp_path: Path) -> None:
    module = VJEPA("vit_tiny", depth=1, image_size=32, patch_size=8, min_keep=2, num_frames=4, rope=True,
                   rope_style="vjepa2", registers=2)  # fmt: skip
    with pytest.raises(ValueError, match=r"has register tokens, and that of VJEPA2Model has none: convert to"):
        write_huggingface(module, tmp_path / "hf")


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "class token": ("vit_tiny_patch16_224", {}),
    "class and register tokens, LayerScale": ("vit_small_patch14_reg4_dinov2", {"patch_size": 16}),
    "SwiGLU": ("vit_giant_patch14_dinov2", {"patch_size": 16, "mlp_ratio": 4.0}),
    "no class token": ("vit_base_patch16_siglip_gap_224", {}),
    "rotary, registers": ("vit_small_patch16_dinov3", {}),
    "parallel blocks": ("vit_base_patch16_plus_240", {}),
}


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_kept_patches_are_those_of_a_slow_gather(kind: str) -> None:
    """Each sample alone, with the tokens of its kept patches picked one by one before the first block."""
    torch.manual_seed(0)
    name, options = KINDS[kind]
    network = TimmViT(name, (64, 64), options={**TINY, **options}).eval()
    stir(network)
    model, image = network.model, torch.randn(2, 3, 64, 64)
    keep = torch.stack([torch.randperm(16)[:5], torch.randperm(16)[:5]])
    whole, kept = network(image), network(image, keep=keep)
    assert kept.shape == (2, 5, 48)
    for sample in range(2):
        torch.testing.assert_close(kept[sample], slowly(model, image[sample], keep[sample]), atol=1e-5, rtol=0)
    assert not torch.allclose(kept[0], whole[0, keep[0]], atol=1e-3)  # the others were not seen
    everything = torch.arange(16).expand(2, -1)
    torch.testing.assert_close(network(image, keep=everything), whole, atol=1e-5, rtol=0)


def slowly(model: Any, image: Tensor, keep: Tensor) -> Tensor:
    """Patches of one image, each with its own position; no index is shifted by the tokens before the patches."""
    prefix, rotations = model.num_prefix_tokens, None
    tokens = model.patch_embed(image[None])
    found = model._pos_embed(tokens)
    if isinstance(found, tuple):  # with rotary positions
        found, rotations = found
    rows = [found[0, i] for i in range(prefix)] + [found[0, prefix + int(i)] for i in keep]
    x = torch.stack(rows)[None]
    if hasattr(model, "norm_pre"):
        x = model.norm_pre(x)
    if rotations is not None:
        rotations = torch.stack([rotations.reshape(-1, rotations.shape[-1])[int(i)] for i in keep])
    for block in model.blocks:
        x = block(x, rope=rotations) if rotations is not None else block(x)
    return model.fc_norm(model.norm(x))[0, prefix:]
