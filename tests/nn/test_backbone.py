import pytest
import timm
import torch
from torch import Tensor

from jepa_lightning.nn import TimmBackbone


def build(name: str, size: int = 64, **options: object) -> TimmBackbone:
    torch.manual_seed(0)
    return TimmBackbone(name, (size, size), **options).eval()


@torch.no_grad()
def encode(model: TimmBackbone, size: int = 64, **options: object) -> Tensor | list[Tensor]:
    return model(torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0)), **options)


@pytest.mark.parametrize(
    ("name", "tokens", "width"),
    [
        ("resnet18", 4, 512),
        ("convnext_atto", 4, 320),
        ("vit_tiny_patch16_224", 16, 192),
        ("test_vit", 16, 64),
        ("test_mambaout", 4, 256),  # its feature maps have channels last
        ("mobilenetv3_small_050", 4, 1024),  # wider after its pooling than before
        ("levit_128s", 1, 384),
    ],
)
def test_any_network_gives_tokens_of_the_width_it_says(name: str, tokens: int, width: int) -> None:
    model = build(name)
    assert encode(model).shape == (2, tokens, width)
    assert model.width == width


def test_the_mean_over_tokens_is_what_timm_pools() -> None:
    model, pooling = build("resnet18"), timm.create_model("resnet18", num_classes=0).eval()
    pooling.load_state_dict(model.model.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(images).mean(dim=1), pooling(images))


@pytest.mark.parametrize("name", ["test_resnet", "test_mambaout"])
def test_tokens_run_over_rows_then_columns_whichever_axis_has_the_channels(name: str) -> None:
    model, wide = build(name), torch.randn(1, 3, 64, 128)
    with torch.no_grad():
        (tokens,), (feature_map,) = model(wide), model.model(wide)
    if name == "test_resnet":
        feature_map = feature_map.permute(1, 2, 0)
    assert feature_map.shape == (2, 4, model.width)
    for row in range(2):
        for column in range(4):
            torch.testing.assert_close(tokens[row * 4 + column], feature_map[row, column])


def test_class_tokens_are_left_out() -> None:
    model, images = build("test_vit"), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        every = model.model.forward_features(images)
        assert every.shape == (2, 17, 64)
        torch.testing.assert_close(model(images), every[:, 1:])


def test_the_cifar_stem_has_a_grid_four_times_as_fine_and_as_many_features() -> None:
    assert encode(build("resnet18"), 32).shape == (2, 1, 512)
    model = build("resnet18", 32, stem="cifar")
    assert encode(model, 32).shape == (2, 16, 512)
    assert model.model.conv1.weight.shape == (64, 3, 3, 3)
    assert model.model.conv1.stride == (1, 1)
    assert encode(build("resnet18", 64, stem="cifar"), 64).shape == (2, 64, 512)


@pytest.mark.parametrize("name", ["convnext_atto", "test_vit", "resnet18d"])
def test_the_cifar_stem_is_for_plain_resnets(name: str) -> None:
    with pytest.raises(ValueError, match=f"stem 'cifar' is for ResNets like resnet18, not for {name}"):
        TimmBackbone(name, (32, 32), stem="cifar")


def test_an_unknown_name_lists_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"there is no encoder 'resnet19': did you mean .*resnet18"):
        TimmBackbone("resnet19", (32, 32))
    with pytest.raises(ValueError, match=r"there is no encoder 'vit_smal': did you mean vit_small"):
        TimmBackbone("vit_smal", (32, 32))
    with pytest.raises(ValueError, match=r"there is no encoder '!!!': timm.list_models\(\) has their names"):
        TimmBackbone("!!!", (32, 32))


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_the_last_layer_is_the_output(name: str) -> None:
    model = build(name)
    (last,) = encode(model, layers=[-1])
    torch.testing.assert_close(last, encode(model))


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_layers_come_in_the_order_asked_for(name: str) -> None:
    model = build(name)
    first, last = encode(model, layers=[0]) + encode(model, layers=[-1])
    taken = encode(model, layers=[-1, 0, -1])
    torch.testing.assert_close(taken, [last, first, last])
    assert first.shape != last.shape or not torch.equal(first, last)


def test_layers_of_a_vit_are_its_normed_blocks() -> None:
    model = build("test_vit")
    vit, taken = model.model, []
    hooks = [block.register_forward_hook(lambda *out: taken.append(out[-1])) for block in vit.blocks]
    layers = encode(model, layers=range(len(vit.blocks)))
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        torch.testing.assert_close(layers, [vit.norm(tokens)[:, 1:] for tokens in taken])


def test_a_layer_that_is_not_there_is_named() -> None:
    model = build("test_vit")
    for layer in (99, -99):
        with pytest.raises(ValueError, match=rf"layers \(0, {layer}\) are not all there"):
            encode(model, layers=[0, layer])


def test_stochastic_depth_rises_to_the_rate_and_is_off_by_default() -> None:
    def rates(model: TimmBackbone) -> list[float]:
        return [getattr(block.drop_path1, "drop_prob", 0.0) for block in model.model.blocks]

    assert not any(rates(build("test_vit")))
    stochastic = rates(build("test_vit", drop_path=0.2))
    assert stochastic == sorted(stochastic)
    assert stochastic[-1] == pytest.approx(0.2)


def test_refuses_an_unknown_stem():
    with pytest.raises(ValueError, match="there is no stem 'cifr': choose one of default, cifar"):
        TimmBackbone("resnet18", (32, 32), stem="cifr")
