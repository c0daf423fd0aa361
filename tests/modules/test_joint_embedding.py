from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from jepa_lightning import BYOL
from jepa_lightning.nn import VisionTransformer

Build = Callable[..., Any]
RESNET = {"encoder": "resnet18", "width": None, "depth": None, "heads": None, "patch_size": 16}


def test_any_of_timms_backbones_trains_and_evaluates(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("BYOL", **RESNET, stem="cifar")
    assert model.width == 512
    batch = views_of(model, size=4)
    model.objective(batch, 0.0).loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    model.eval()
    assert model.objective(views_of(model, size=2), 0.0).loss.isfinite()
    images = batch.views[0]
    assert model(images, pool=False).shape == (4, 16, 512)  # 32 px over a stride of 8
    assert model(images, layers=(-1,)).shape == (4, 512)


def test_batch_norm_inside_a_targets_backbone_follows_its_mode(tiny_method: Build) -> None:
    model = tiny_method("BYOL", **RESNET)
    layers = [layer for layer in model.target_encoder.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(layers) == 20
    for mode in (False, True):
        model.train(mode)
        assert all(layer.training is mode for layer in layers)
        assert not model.target_encoder.training


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**RESNET, "encoder": "resnet19"}, r"there is no encoder 'resnet19': did you mean resnet1\d"),
        ({"encoder": "vit_tinny"}, "there is no encoder 'vit_tinny': did you mean vit_tiny"),
        ({**RESNET, "encoder": "qqqqqq"}, r"there is no encoder 'qqqqqq': timm\.list_models\(\) has their names"),
        ({**RESNET, "depth": 2}, "depth cannot be set for resnet18, which has its own: set it to null, or choose one"),
        ({"encoder": "resnet18"}, "width and depth and heads cannot be set for resnet18, .*: set them to null"),
        (
            {**RESNET, "patch_size": 8},
            "patch_size=8 has no effect, since resnet18 has no patches whose size can be set",
        ),
        (
            {**RESNET, "encoder": "swin_tiny_patch4_window7_224", "patch_size": 4},
            "patch_size=4 has no effect, since swin_tiny_patch4_window7_224 has no patches",
        ),
        ({"stem": "cifar"}, "stem 'cifar' is for ResNets like resnet18, not for vit_tiny"),
        ({**RESNET, "encoder": "vit_tiny_patch16_224", "stem": "cifar"}, "'cifar' is for ResNets like resnet18, not"),
        ({"heads": 5}, "width 48 is not a multiple of heads 5"),
    ],
)
def test_options_that_make_no_sense_are_named(tiny_method: Build, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_method("SimCLR", **options)


def test_a_network_of_ones_own_by_overriding(tiny_method: Build, views_of: Build) -> None:
    class Pixels(nn.Module):
        width = 3

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.scale(x.flatten(2).transpose(1, 2))

    class Mine(BYOL):
        def build_encoder(self) -> nn.Module:
            return Pixels()

    model = Mine(image_size=16, projector_hidden=8, projector_dim=4)
    assert type(model.target_encoder) is Pixels
    assert model.projector[0].in_features == 3
    batch = views_of(model, size=4)
    assert batch.views[0].shape == (4, 3, 16, 16)
    model.objective(batch, 0.0).loss.backward()
    assert model.encoder.scale.weight.grad is not None


def test_options_of_the_encoder_reach_it(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("SimCLR", width=24, depth=3, patch_size=4, image_size=(32, 16), drop_path=0.2)
    assert isinstance(model.encoder, VisionTransformer)
    assert (model.width, len(model.encoder.blocks), model.encoder.grid_size) == (24, 3, (8, 4))
    batch = views_of(model, size=4)
    assert [view.shape for view in batch.views] == [(4, 3, 32, 16)] * 2
    assert model.objective(batch, 0.0).loss.isfinite()


def test_features_pooled_by_token_and_of_several_layers(every_method: Build) -> None:
    model = every_method().eval()
    images = torch.randn(2, 3, 32, 32)
    assert model(images).shape == (2, 48)
    assert model(images, pool=False).shape == (2, 16, 48)
    assert model(images, layers=(0, 1)).shape == (2, 96)
    torch.testing.assert_close(model(images, layers=(0, 1))[:, 48:], model(images))


def test_crops_flips_and_colors_of_ones_own_reach_the_views(tiny_method: Build) -> None:
    """A whole view that is always mirrored and never recolored is the mirrored image."""
    model = tiny_method("SimCLR", crop_scale=(1.0, 1.0), flip=1.0, color_strength=0.0)
    pipeline = model.pipeline()
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    (plain,) = pipeline.eval_transform(image)
    for view in pipeline.transform(image):
        torch.testing.assert_close(view, plain.flip(-1))


@pytest.mark.parametrize(("factor", "brightness"), [(1.0, (0.2, 1.8)), (0.5, (0.6, 1.4))])
def test_color_strength_is_a_factor(tiny_method: Build, factor: float, brightness: tuple[float, float]) -> None:
    for view in tiny_method("SimCLR", color_strength=factor).pipeline().transform.transforms:
        (applied,) = [step.transforms for step in view.transforms if isinstance(step, v2.RandomApply)]
        (jitter,) = [step for step in applied if isinstance(step, v2.ColorJitter)]
        assert jitter.brightness == pytest.approx(brightness)


@pytest.mark.parametrize("name", ["SimCLR", "DINO"])
def test_presets_reach_all_views_and_give_way_to_what_is_given(tiny_method: Build, name: str) -> None:
    def scales(**options: Any) -> list[tuple[float, float]]:
        views = tiny_method(name, augment="crops", **options).pipeline().transform.transforms
        kinds = {type(step) for view in views for step in view.transforms}
        assert not kinds & {v2.RandomApply, v2.RandomHorizontalFlip, v2.RandomGrayscale, v2.RandomSolarize}
        return [step.scale for view in views for step in view.transforms if isinstance(step, v2.RandomResizedCrop)]

    local = [(0.3, 0.6)] * 2 if name == "DINO" else []
    assert scales() == [(0.6, 1.0)] * 2 + local
    assert scales(crop_scale=(0.9, 1.0)) == [(0.9, 1.0)] * 2 + local


def test_presets_that_do_not_fit_are_refused(tiny_method: Build) -> None:
    with pytest.raises(ValueError, match=r"color_strength=0\.5 has no effect, since augment is crops"):
        tiny_method("SimCLR", augment="crops", color_strength=0.5)
    with pytest.raises(ValueError, match="no augment 'some': choose one of paper, small, crops"):
        tiny_method("SimCLR", augment="some")
