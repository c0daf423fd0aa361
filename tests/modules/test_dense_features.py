from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning import SimCLR
from jepa_lightning.modules.checkpoint_encoder import CheckpointEncoder, method_options
from jepa_lightning.modules.dense_features import DenseFeatures, joinable_layers

TINY: dict[str, Any] = {"encoder": "vit_tiny", "width": 48, "heads": 3, "image_size": 32, "patch_size": 8}


class Plain(nn.Module):
    """An encoder of the user's own, which gives its output alone: pixels as tokens."""

    width = 3

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class Wrapped(nn.Module):
    """One that has its layers in a network, which it does not hand options on to."""

    width = 48

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        tokens: Tensor = self.network(x)
        return tokens


class OwnLayers(Wrapped):
    """One whose layers are its own, around a network that has none."""

    def forward(self, x: Tensor, layers: Any = None) -> Any:
        tokens = self.network(x)
        return tokens if layers is None else [tokens * layer for layer in layers]


class Of(DenseFeatures):
    def __init__(self, encoder: nn.Module) -> None:
        self.eval_encoder = encoder


@pytest.fixture
def vit() -> nn.Module:
    torch.manual_seed(0)
    return SimCLR(**TINY, depth=5).eval_encoder.eval()


@pytest.mark.parametrize("name", ["timm:test_resnet", "timm:test_convnext", "timm:test_efficientnet"])
@pytest.mark.parametrize("size", [(33, 320), (190, 100), (90, 45), (64, 64)])
def test_maps_of_a_view_that_strides_do_not_divide_are_those_of_the_network(name: str, size: tuple[int, int]) -> None:
    module = SimCLR(name, image_size=64).eval()
    view, model = torch.randn(1, 3, *size), module.eval_encoder.model
    expected = model.forward_intermediates(view, norm=True, intermediates_only=True)[-4:]
    found = module.feature_maps(view)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    reductions = [info["reduction"] for info in model.feature_info][-4:]
    assert [info["reduction"] for info in module.feature_info(view)] == reductions


def test_reduction_of_patches_that_are_no_power_of_2() -> None:
    named = SimCLR(**{**TINY, "image_size": 24, "patch_size": 12}, depth=2)
    assert named.feature_info(torch.randn(1, 3, 24, 24), [-1]) == [{"num_chs": 48, "reduction": 12}]
    own = nn.Sequential(nn.AvgPool2d(6), Plain())  # says no patch
    assert Of(own).feature_info(torch.randn(1, 3, 24, 24)) == [{"num_chs": 3, "reduction": 6}]
    assert Of(own).feature_maps(torch.randn(1, 3, 25, 24))[0].shape == (1, 3, 4, 4)


def test_maps_in_training_leave_no_trace_but_their_own_pass() -> None:
    module = SimCLR("timm:test_resnet", image_size=64).train()
    norms = [layer for layer in module.eval_encoder.modules() if isinstance(layer, nn.BatchNorm2d)]
    view = torch.randn(2, 3, 32, 32)
    # the last stage has one place, of which a single image has no variance to normalize by in training
    maps = module.feature_maps(view)
    assert [tuple(each.shape[2:]) for each in maps] == [(8, 8), (4, 4), (2, 2), (1, 1)]
    assert {int(layer.num_batches_tracked) for layer in norms} == {1}
    assert maps[-1].requires_grad
    module.feature_info(view)
    assert {int(layer.num_batches_tracked) for layer in norms} == {1}
    assert all(layer.training for layer in norms)


def test_as_many_layers_as_there_are(vit: nn.Module) -> None:
    view = torch.randn(2, 3, 32, 32)
    assert joinable_layers(vit, view) == [-4, -3, -2, -1]
    assert joinable_layers(vit, view, most=2) == [-2, -1]
    assert joinable_layers(SimCLR(**TINY, depth=3).eval_encoder, view) == [-3, -2, -1]
    assert joinable_layers(SimCLR(**TINY, depth=1).eval_encoder, view) == []
    with pytest.raises(ValueError, match=r"layers .* are not all there"):
        Of(vit).feature_maps(view, [7])


def test_layers_are_asked_of_encoders_that_give_them(vit: nn.Module) -> None:
    view = torch.randn(2, 3, 32, 32)
    for encoder in (Plain(), Wrapped(vit)):
        (found,) = Of(encoder).feature_maps(view)
        torch.testing.assert_close(found.flatten(2).transpose(1, 2), encoder(view))
    assert len(Of(OwnLayers(Plain())).feature_maps(view)) == 4
    module = SimCLR(**TINY, depth=2)
    saved = CheckpointEncoder("jepa_lightning.modules.simclr.SimCLR", method_options(module)).eval()
    assert joinable_layers(saved, view) == [-2, -1]  # it hands options on to its network


def test_rows_and_columns_of_a_view_that_is_no_square(vit: nn.Module) -> None:
    view = torch.randn(1, 3, 16, 40)
    (found,) = Of(vit).feature_maps(view, [-1])
    tokens = Of(vit).forward_features(view)
    assert found.shape == (1, 48, 2, 5)
    for row in range(2):
        for column in range(5):
            assert torch.equal(found[0, :, row, column], tokens[0, 5 * row + column])


def test_clips_have_maps_with_a_time_axis(tiny_vjepa: Any) -> None:
    module = tiny_vjepa().eval()
    clip = torch.randn(1, 3, 8, 32, 32)
    (found,) = module.feature_maps(clip, [-1])
    assert found.shape == (1, 48, 4, 4, 4)
    assert torch.equal(found.flatten(2).transpose(1, 2), module.forward_features(clip))
    assert module.feature_info(clip, [-1]) == [{"num_chs": 48, "reduction": 8}]


def test_half_precision_and_a_single_image(vit: nn.Module) -> None:
    maps = Of(vit.bfloat16()).feature_maps(torch.randn(1, 3, 32, 32).bfloat16(), [0, -1])
    assert [(each.dtype, tuple(each.shape)) for each in maps] == [(torch.bfloat16, (1, 48, 4, 4))] * 2
