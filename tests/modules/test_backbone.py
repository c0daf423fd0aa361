from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning import Classifier, SimCLR
from jepa_lightning.modules.backbone import unused_patch
from jepa_lightning.nn import TimmBackbone, VisionTransformer


class Own(nn.Module):
    """A network of the user's own; its patch can be told."""

    width, in_channels = 6, 2

    def __init__(self, patch: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.scale, self.patch = nn.Parameter(torch.ones(())), patch

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x.flatten(2).transpose(1, 2).repeat(1, 1, 3)


def build(encoder: Any, **options: Any) -> SimCLR:
    torch.manual_seed(0)
    return SimCLR(encoder, **{"image_size": 32, **options})


def test_a_named_size_has_what_is_set_and_its_own_beside() -> None:
    found = build("vit_tiny", depth=2, patch_size=8, in_channels=2, drop_path=0.3, image_size=(32, 16)).encoder
    assert type(found) is VisionTransformer
    assert (found.width, len(found.blocks), found.blocks[0].attn.heads, found.grid_size) == (192, 2, 3, (4, 2))
    assert found(torch.randn(1, 2, 32, 16)).shape == (1, 8, 192)
    assert float(found.blocks[1].drop_path.keep) == pytest.approx(0.7)


@pytest.mark.parametrize("name", ["timm:test_resnet", "test_resnet"])
def test_a_network_of_timm_has_channels_and_stochastic_depth(name: str) -> None:
    module = build(name, in_channels=2, drop_path=0.3)
    assert type(module.encoder) is TimmBackbone
    assert module.encoder(torch.randn(1, 2, 64, 32)).shape == (1, 2, module.encoder.width)
    assert max(getattr(layer, "drop_prob", None) or 0.0 for layer in module.encoder.modules()) == pytest.approx(0.3)
    assert module.patch_size == 16


def test_patches_of_a_transformer_of_timm_are_its_own() -> None:
    module = build("timm:vit_tiny_patch16_224", image_size=(32, 64))
    assert (module.patch_size, module.encoder.patch) == (16, (16, 16))
    assert module.encoder(torch.randn(1, 3, 32, 64)).shape == (1, 8, 192)
    with pytest.raises(
        ValueError, match=r"^patch_size=8 cannot be set for timm:vit_tiny_patch16_224, whose patches ha"
    ):
        build("timm:vit_tiny_patch16_224", patch_size=8)


def test_a_network_of_ones_own_is_the_encoder_and_says_its_patch() -> None:
    own = Own(patch=(4, 4))
    module = build(own, in_channels=2)
    assert module.encoder is own
    assert module.patch_size == 4
    assert build(Own(), in_channels=2).patch_size == 16
    with pytest.raises(ValueError, match=r"^patch_size=8 cannot be set for .*Own, whose patches have 4 pixels"):
        build(Own(patch=(4, 4)), in_channels=2, patch_size=8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stem": "cifar"}, r"stem 'cifar' is for ResNets like resnet18, not for .*\.Own\."),
        ({"width": 8, "heads": 2}, r"width and heads cannot be set for .*\.Own, which has its own: set them to null"),
        ({"drop_path": 0.1}, r"drop_path cannot be set for .*\.Own: set it where the network is built"),
        ({"in_channels": 3}, r"in_channels=3, and the encoder .*\.Own takes 2: set in_channels=2"),
        ({"pretrained": True}, r"pretrained=True is for networks of timm"),
    ],
)
def test_options_that_a_network_of_ones_own_does_not_take_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}[^\n]*$"):
        build(Own(), **{"in_channels": 2, **options})


@pytest.mark.parametrize(
    ("encoder", "unused"),
    [
        ("vit_tiny", False),
        ("timm:resnet18", True),
        ("resnet18", True),
        ("timm:vit_tiny_patch16_224", False),
        ("timm:vit_tiny_patch16_224.augreg_in21k", False),
        ("swin_tiny_patch4_window7_224", True),
        (None, False),
        (Own(), False),
        ({"class_path": "Own"}, False),
    ],
)
def test_the_size_of_patches_is_unused_where_there_are_none(encoder: Any, unused: bool) -> None:
    reasons = {"patch_size": f"{encoder} has no patches whose size can be set"}
    assert unused_patch(encoder) == (reasons if unused else {})


def test_a_classifier_has_the_same_encoders() -> None:
    own = Own()
    assert Classifier(own, in_channels=2, num_classes=2).encoder is own
    with pytest.raises(ValueError, match=r"^patch_size=8 has no effect, since timm:resnet18 has no patches"):
        Classifier("timm:resnet18", patch_size=8, num_classes=2)
