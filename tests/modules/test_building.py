from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from jepa_lightning import IJEPA, MAE, VJEPA, JEPAModule, SimCLR

TINY = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}


@pytest.mark.parametrize("method", [IJEPA, MAE, SimCLR])
def test_an_option_of_a_subclass_is_set_before_networks_are_built_or_the_error_says_so(
    method: type[JEPAModule],
) -> None:
    class Own(method):  # type: ignore[valid-type,misc]
        def __init__(self, rate: float = 0.5, early: bool = True, **kwargs: Any) -> None:
            if early:
                self.rate = rate
            super().__init__(**kwargs)
            self.rate = rate

        def build_encoder(self) -> nn.Module:
            encoder: nn.Module = super().build_encoder()
            encoder.add_module("dropout", nn.Dropout(self.rate))
            return encoder

    assert Own(rate=0.25, **TINY).eval_encoder.dropout.p == 0.25
    with pytest.raises(AttributeError, match=r"no attribute 'rate': networks are built within super\(\)\.__init__\(\)"):
        Own(early=False, **TINY)


def test_other_errors_stay_as_they_are() -> None:
    class Broken(IJEPA):
        def build_encoder(self) -> nn.Module:
            return "no network".encoder  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match=r"'str' object has no attribute 'encoder'$"):
        Broken(**TINY)


class OwnEncoder(nn.Module):
    """Of a user's, with tokens of its own making."""

    width, grid_size = 48, (4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 48, 8, 8)

    def forward(self, x: torch.Tensor, keep: torch.Tensor | None = None) -> torch.Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return tokens if keep is None else tokens.gather(1, keep[..., None].expand(-1, -1, 48))


@pytest.mark.parametrize("method", [IJEPA, MAE, VJEPA])
@pytest.mark.parametrize("option", [{"registers": 4}, {"patch_embedding": "convolutional"}])
def test_encoders_with_tokens_of_their_own_refuse_them(method: type[IJEPA], option: dict[str, Any]) -> None:
    (name,) = option
    one_frame = {"num_frames": 1} if method is VJEPA else {}
    for encoder, label in (("timm:test_vit", "timm:test_vit"), (OwnEncoder(), r".*\.OwnEncoder")):
        with pytest.raises(
            ValueError, match=rf"{name}=.* has no effect, since {label} has tokens of its own: leave it out\."
        ):
            method(encoder=encoder, image_size=32, **option, **one_frame)


@pytest.mark.parametrize("option", [{"registers": 4}, {"patch_embedding": "convolutional"}])
def test_methods_that_compare_views_have_them_too(tiny_method: Callable[..., Any], option: dict[str, Any]) -> None:
    (name,) = option
    for encoder, label in (
        ("resnet18", "resnet18"),
        ("timm:test_vit", "timm:test_vit"),
        (OwnEncoder(), ".*OwnEncoder"),
    ):
        with pytest.raises(ValueError, match=rf"{name}=.* has no effect, since {label} has layers of its own: leave"):
            SimCLR(encoder=encoder, image_size=32, **option)
    with pytest.raises(ValueError, match="there is no encoder 'vit_tinny'"):
        SimCLR(encoder="vit_tinny", **option)
    plain = tiny_method("SimCLR").encoder.state_dict()
    changed = tiny_method("SimCLR", **option).encoder.state_dict()
    assert changed.keys() > plain.keys()


@pytest.mark.parametrize(
    "method", ["SimCLR", "MoCo v2", "MoCo v3", "BYOL", "SimSiam", "DINO", "VICReg", "BarlowTwins", "LeJEPA"]
)
def test_every_view_trains_registers_and_convolutions(
    tiny_method: Callable[..., Any], views_of: Callable[..., Any], method: str
) -> None:
    module = tiny_method(method, registers=2, patch_embedding="convolutional")
    out = module.objective(views_of(module, size=4), 0.5)
    out.loss.backward()
    assert module.encoder.reg_token.grad.any()
    assert all(each.grad.any() for each in module.encoder.patch_embed.parameters())
    assert module(torch.rand(2, 3, *module.image_size)).shape == (2, module.width)


def test_a_convolutional_embedding_is_of_images(tiny_ijepa: Callable[..., IJEPA], views_of: Callable[..., Any]) -> None:
    module = tiny_ijepa(patch_embedding="convolutional")
    module.objective(views_of(module, size=4), 0.5).loss.backward()
    assert all(each.grad.any() for each in module.context_encoder.patch_embed.parameters())
    assert VJEPA(patch_embedding="convolutional", **TINY, num_frames=1, min_keep=1).patch_embedding == "convolutional"
    with pytest.raises(ValueError, match=r"patch_embedding=convolutional is for encoders of images"):
        VJEPA(patch_embedding="convolutional", **TINY, num_frames=4)
    with pytest.raises(ValueError, match=r"there is no patch_embedding 'conv': choose one of linear, convolutional"):
        tiny_ijepa(patch_embedding="conv")
