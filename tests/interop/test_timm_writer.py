"""The call of timm that builds the network of an encoder, and encoders that it does not build."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from jepa_lightning import IJEPA, VJEPA, SimCLR
from jepa_lightning.interop.reference_writer import write_reference
from jepa_lightning.interop.timm_writer import NEAR, timm_state, write_timm
from jepa_lightning.nn import VIT_SIZES, VisionTransformer

SMALL = {
    "image_size": 32,
    "patch_size": 8,
    "predictor_depth": 1,
    "predictor_dim": 24,
    "predictor_heads": 3,
    "min_keep": 2,
}


def small(**options: Any) -> IJEPA:
    return IJEPA("vit_tiny", **{"width": 48, "depth": 1, "heads": 3, **SMALL, **options})


LARGE = ("vit_huge", "vit_giant")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in NEAR])
def test_networks_of_named_sizes_are_near_ones_of_timm(name: str) -> None:
    arguments = timm.get_pretrained_cfg(NEAR[name]).architecture
    assert arguments == NEAR[name]
    with torch.device("meta"):
        network = timm.create_model(NEAR[name], class_token=False, global_pool="avg", fc_norm=False, num_classes=0)
    width, depth, heads = VIT_SIZES[name][:3]
    assert (network.embed_dim, len(network.blocks), network.blocks[0].attn.num_heads) == (width, depth, heads)
    hidden = network.blocks[0].mlp.fc1.out_features
    assert hidden / width == pytest.approx(VIT_SIZES[name].mlp_ratio, rel=1e-3)


def test_what_differs_from_a_named_size_is_in_the_call() -> None:
    _, call = timm_state((module := small(in_channels=2, mean=(0, 0), std=(1, 1))).target_encoder, module)
    assert call.startswith(
        "'vit_base_patch16_224', patch_size=8, img_size=(32, 32), embed_dim=48, depth=1, num_heads=3"
    )
    assert "in_chans=2" in call
    assert "norm_layer" not in call
    module = IJEPA("vit_tiny", depth=12, **SMALL)
    _, call = timm_state(module.target_encoder, module)
    assert call.startswith("'vit_tiny_patch16_224', patch_size=8, img_size=(32, 32), class_token=False")
    module = small(norm_eps=0.1)
    assert timm_state(module.target_encoder, module)[1].endswith("LayerNorm, eps=0.1)")


@pytest.mark.parametrize("ending", ["a.safetensors", "a.pth", "a"])
def test_either_encoder_is_written(ending: str, ijepa: IJEPA, tmp_path: Path) -> None:
    for which in ("target_encoder", "context_encoder"):
        path = tmp_path / which / ending
        path.parent.mkdir()
        call = write_timm(ijepa, path, which)
        assert call.endswith(f", checkpoint_path={str(path)!r})")
        found = eval(call, {"timm": timm}).state_dict()
        state = getattr(ijepa, which).state_dict()
        assert found.keys() == state.keys()
        assert all(torch.equal(value, state[name]) for name, value in found.items())


def test_a_method_without_a_target_has_one_encoder(tmp_path: Path) -> None:
    module = SimCLR("vit_tiny", depth=1, image_size=32, patch_size=8)
    write_timm(module, tmp_path / "a.pth")
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    assert torch.equal(state["norm.weight"], module.eval_encoder.state_dict()["norm.weight"])


def test_weights_that_are_not_finite_are_not_written(tmp_path: Path) -> None:
    module = small()
    module.target_encoder.norm.bias.data.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"cannot use the weights of IJEPA: 48 values of norm\.bias are not finite"):
        write_timm(module, tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["a.safetensors", "a.pth"])
def test_no_file_is_replaced(ending: str, ijepa: IJEPA, tmp_path: Path) -> None:
    (tmp_path / ending).write_text("mine")
    with pytest.raises(ValueError, match="is there already"):
        write_timm(ijepa, tmp_path / ending)
    assert (tmp_path / ending).read_text() == "mine"


class Another(VisionTransformer):
    """Not known to compute the same."""


def test_networks_that_are_not_known(ijepa: IJEPA) -> None:
    for network in (torch.nn.Linear(2, 2), Another(image_size=32, patch_size=8, width=24, depth=1, heads=3)):
        with pytest.raises(
            ValueError, match=rf"timm has no network like {type(network).__name__}: convert to safetens"
        ):
            timm_state(network, ijepa)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_frames": 4}, "no encoder of clips"),
        ({"num_frames": 1, "rope": True}, "that rotates"),
        ({"num_frames": 1, "patch_embedding": "convolutional"}, "has no patch_embedding but the linear one"),
    ],
)
def test_what_timm_has_not(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    module = VJEPA("vit_tiny", depth=1, image_size=32, patch_size=8, min_keep=2, **options)
    with pytest.raises(ValueError, match=said):
        write_timm(module, tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_timm, write_reference])
def test_a_stem_of_ones_own_is_refused(write: Callable[[IJEPA, Path], object], tmp_path: Path) -> None:
    module = small()
    for encoder in (module.context_encoder, module.target_encoder):
        embed: Any = encoder.patch_embed
        embed.proj = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.GELU(), nn.Conv2d(8, 48, 2, 2))
    with pytest.raises(ValueError, match="has no patch_embedding but the linear one: convert to safetensors"):
        write(module, tmp_path / "a.pth")
    assert not list(tmp_path.iterdir())
