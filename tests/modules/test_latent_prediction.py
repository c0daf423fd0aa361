from collections.abc import Callable
from typing import Any

import pytest
import torch

Build = Callable[..., Any]


@pytest.mark.parametrize("layers", [1, 2])
def test_targets_that_are_not_normalized_are_the_plain_mean_of_the_layers(tiny_ijepa: Build, layers: int) -> None:
    model = tiny_ijepa(target_layers=layers, normalize_targets=False)
    view = torch.randn(2, 3, 32, 32)
    taken = model.encode_target(view)
    assert len(taken) == layers
    torch.testing.assert_close(model.target_tokens(taken), sum(taken) / layers)
    torch.testing.assert_close(taken[-1], model.target_encoder(view))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_layers": 9}, "target_layers=9 is not from 1 to the encoder's"),
        ({"distance": "l3"}, "there is no distance 'l3': choose one of smooth_l1"),
    ],
)
def test_options_that_make_no_sense_are_named(tiny_ijepa: Build, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_ijepa(**options)
