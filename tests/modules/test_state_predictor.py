from typing import Any

import pytest
import torch

from jepa_lightning.modules.state_predictor import state_predictor, unused_by_predictor
from jepa_lightning.nn import CausalPredictor, GRUPredictor, MLPPredictor, TokenPredictor

OPTIONS: dict[str, Any] = {
    "history": 2, "predictor_depth": 1, "predictor_heads": 2, "predictor_head_width": 8, "predictor_hidden": 8,
    "dropout": 0.0, "predictor_dim": 12,
}  # fmt: skip
KINDS = {"gru": GRUPredictor, "mlp": MLPPredictor, "adaln": CausalPredictor, "tokens": TokenPredictor}


class Owner:
    width, encoder_label = 8, "mine.Net"

    def __init__(self, grid: tuple[int, ...] = (2, 3)) -> None:
        self.encoder = type("Net", (), {"grid_size": grid})


@pytest.mark.parametrize("name", KINDS)
def test_each_name_is_a_predictor_of_states_under_actions(name: str) -> None:
    predictor = state_predictor(Owner(), 3, {**OPTIONS, "predictor": name})
    assert type(predictor) is KINDS[name]
    states = torch.randn(4, 2, 6, 8) if name == "tokens" else torch.randn(4, 2, 8)
    assert predictor(states, torch.randn(4, 2, 3)).shape == states.shape


def test_tokens_need_a_grid() -> None:
    with pytest.raises(ValueError, match=r"predictor 'tokens' needs the grid .* and mine\.Net has no grid_size"):
        state_predictor(Owner(()), 3, {**OPTIONS, "predictor": "tokens"})


@pytest.mark.parametrize(
    ("name", "unused"),
    [
        ("gru", {*OPTIONS}),
        ("mlp", {"history", "predictor_heads", "predictor_head_width", "predictor_dim"}),
        ("adaln", {"predictor_dim"}),
        ("tokens", {"pool", "state_width"}),
    ],
)
def test_options_that_a_predictor_does_not_take_are_named(name: str, unused: set[str]) -> None:
    found = unused_by_predictor(name)
    assert {*found} == unused
    assert all(name in reason for reason in found.values())
