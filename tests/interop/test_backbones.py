from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from jepa_lightning.interop.backbones import CHILDREN, PREFIXES, find_backbone, two_layer_head


@pytest.fixture(scope="module")
def resnet() -> dict[str, Tensor]:
    return state_of("resnet18")


def state_of(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        found: dict[str, Tensor] = getattr(models, name)().state_dict()
    return found


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_backbone_is_found_under_each_prefix(prefix: str, resnet: dict[str, Tensor]) -> None:
    state = {f"{prefix}{name}": value for name, value in resnet.items()} | {"projector.0.weight": torch.ones(2, 2)}
    found = find_backbone(state)
    assert found is not None
    assert (found.name, found.stem, found.channels, found.prefix) == ("resnet18", "default", 3, prefix)
    assert found.state.keys() == {name for name in resnet if not name.startswith("fc.")}


def test_a_sequence_of_its_children_gets_their_names(resnet: dict[str, Tensor]) -> None:
    numbers = {name: number for number, name in CHILDREN.items()}
    renamed = {name: f"{numbers.get((parts := name.split('.', 1))[0], '9')}.{parts[1]}" for name in resnet}
    found = find_backbone({f"backbone.{renamed[name]}": value for name, value in resnet.items()})
    assert found is not None
    assert found.name == "resnet18"
    assert found.state.keys() == {name for name in resnet if not name.startswith("fc.")}


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "resnet101"])
def test_sizes_are_told_by_the_number_and_the_form_of_blocks(name: str) -> None:
    found = find_backbone(state_of(name))
    assert found is not None
    assert found.name == name


def test_a_small_stem_and_other_channels_are_seen(resnet: dict[str, Tensor]) -> None:
    found = find_backbone({**resnet, "conv1.weight": torch.ones(64, 1, 3, 3)})
    assert found is not None
    assert (found.stem, found.channels) == ("cifar", 1)


def test_the_query_is_taken_before_the_whole(resnet: dict[str, Tensor]) -> None:
    both = {f"{prefix}{name}": value for prefix in ("backbone.", "encoder_q.") for name, value in resnet.items()}
    found = find_backbone(both)
    assert found is not None
    assert found.prefix == "encoder_q."


def test_other_networks_are_none_and_resnets_of_another_form_are_refused(resnet: dict[str, Tensor]) -> None:
    assert find_backbone({}) is None
    assert find_backbone({"blocks.0.norm1.weight": torch.ones(2)}) is None
    with pytest.raises(ValueError, match=r"its ResNet has \(2, 2, 2, 1\) blocks, which is none of resnet18, resnet34"):
        find_backbone({name: value for name, value in resnet.items() if not name.startswith("layer4.1")})
    with pytest.raises(ValueError, match=r"the first convolution of its ResNet has the shape \[64, 3\]"):
        find_backbone({**resnet, "conv1.weight": torch.ones(64, 3)})


@torch.no_grad()
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("last_bias", [True, False])
def test_a_head_gives_the_same_outputs(norm: bool, bias: bool, last_bias: bool) -> None:
    torch.manual_seed(0)
    between: list[Any] = [nn.BatchNorm1d(6)] if norm else []
    theirs = nn.Sequential(nn.Linear(5, 6, bias), *between, nn.ReLU(), nn.Linear(6, 4, last_bias)).eval()
    if norm:
        theirs[1].running_mean.normal_()
        theirs[1].running_var.uniform_(0.5, 2)
        theirs[1].weight.normal_()
    layers = [dict(layer.state_dict()) for layer in theirs if not isinstance(layer, nn.ReLU)]
    before = [dict(layer) for layer in layers]
    ours = nn.Sequential(nn.Linear(5, 6, bias=bias and not norm), *([nn.BatchNorm1d(6)] if norm else []), nn.ReLU(),
                         nn.Linear(6, 4)).eval()  # fmt: skip
    ours.load_state_dict(two_layer_head(layers, norm))
    x = torch.randn(3, 5)
    torch.testing.assert_close(ours(x), theirs(x))
    assert all(a.keys() == b.keys() for a, b in zip(before, layers, strict=True))  # what is given stays
