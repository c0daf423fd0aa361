import math

import pytest
import torch
from torch import nn

from jepa_lightning.checkpoints import is_finite


def build() -> nn.Module:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Embedding(2, 3, dtype=torch.bfloat16))
    module.register_buffer("mask", torch.full((3, 3), -math.inf))
    module.register_parameter("none", nn.Parameter(torch.empty(0)))
    return module


def test_weights_of_every_type_are_finite() -> None:
    module = build()
    with torch.no_grad():
        module[2].weight.fill_(torch.finfo(torch.bfloat16).max)  # type: ignore[index, union-attr, operator]
    assert is_finite(module)
    assert is_finite(nn.Identity())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.weight", "2.weight"])
def test_a_single_value_is_found(name: str, value: float) -> None:
    module = build()
    with torch.no_grad():
        module.get_parameter(name).view(-1)[-1] = value
    assert not is_finite(module)


def test_a_buffer_may_be_infinite_and_is_not_nan() -> None:
    module = build()
    module.get_buffer("1.running_var")[2] = math.nan
    assert not is_finite(module)
