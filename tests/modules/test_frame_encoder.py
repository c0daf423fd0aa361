from collections.abc import Callable
from typing import Any

import pytest
import torch

from jepa_lightning.modules.frame_encoder import is_frozen
from jepa_lightning.nn import ClassTokenViT, ImpalaEncoder, TimmBackbone, TimmViT, VisionTransformer

Build = Callable[..., Any]
TIMM = "timm:vit_tiny_patch16_224"


@pytest.mark.parametrize(
    ("options", "kind", "tokens"),
    [
        ({}, ImpalaEncoder, 1),
        ({"encoder": "vit_tiny", "depth": 1, "heads": 3, "patch_size": 8}, VisionTransformer, 4),
        ({"encoder": "vit_tiny", "depth": 1, "heads": 3, "patch_size": 8, "pool": "class"}, ClassTokenViT, 1),
        ({"encoder": TIMM, "width": None}, TimmBackbone, 1),
        ({"encoder": TIMM, "width": None, "pool": "class"}, TimmBackbone, 1),
        ({"encoder": "timm:resnet18", "width": None}, TimmBackbone, 1),
    ],
)
def test_an_encoder_by_name(tiny_world: Build, options: dict[str, Any], kind: type, tokens: int) -> None:
    model = tiny_world(**options).eval()
    assert type(model.encoder) is kind
    assert model.encoder(torch.randn(2, 2, 16, 16)).shape == (2, tokens, model.width)
    assert model.encode(torch.randn(2, 2, 3, 16, 16)).shape == (2, 3, model.width)


def test_the_class_token_of_timm_is_the_networks_own(tiny_world: Build) -> None:
    model = tiny_world(encoder=TIMM, width=None, pool="class").eval()
    images = torch.randn(2, 2, 16, 16)
    expected = model.encoder.model.forward_features(images)[:, 0]
    torch.testing.assert_close(model.encoder(images)[:, 0], expected)


def test_all_tokens_of_a_vision_transformer_of_timm(tiny_world: Build) -> None:
    model = tiny_world("tokens", encoder=TIMM, width=None, depth=None, heads=None, patch_size=16, image_size=32)
    assert type(model.encoder) is TimmViT
    assert model.encode(torch.randn(2, 2, 3, 32, 32)).shape == (2, 3, 4, 192)
    assert model.predictor.grid_size == (2, 2)


def test_an_encoder_by_its_class_is_built_again_from_the_options(tiny_world: Build) -> None:
    arguments = {"image_size": [16, 16], "in_channels": 2, "width": 24, "channels": [4, 8]}
    spec = {"class_path": "jepa_lightning.nn.ImpalaEncoder", "init_args": arguments}
    model = tiny_world(encoder=spec, width=None)
    assert isinstance(model.encoder, ImpalaEncoder)
    again = type(model)(**model.hparams)
    assert again.encoder.linear.weight.shape == (24, 8 * 4 * 4)
    assert not is_frozen(spec)
