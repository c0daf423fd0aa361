"""Parameters of the optimizer of the reference, which go by numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning.interop.optimizer_groups import Group, groups_of, in_order, read_optimizer

MATRIX, VECTOR = torch.ones(2, 2), torch.ones(2)
ENCODER = {"pos_embed": torch.ones(1, 2, 2), "proj.weight": MATRIX, "proj.bias": VECTOR, "norm.weight": VECTOR}


def test_decayed_parameters_of_both_networks_come_first() -> None:
    networks = {"predictor": {"embed.weight": MATRIX, "embed.bias": VECTOR}, "encoder": ENCODER, "other": {"a": MATRIX}}
    assert list(groups_of(networks)) == [
        Group("context_encoder", True, ["pos_embed", "proj.weight"]),
        Group("predictor", True, ["embed.weight"]),
        Group("context_encoder", False, ["proj.bias", "norm.weight"]),
        Group("predictor", False, ["embed.bias"]),
    ]


def test_a_bias_of_two_axes_and_a_number_are_not_decayed() -> None:
    found = list(groups_of({"encoder": {"bias_table": MATRIX, "scale": torch.tensor(1.0)}}))
    assert [group.names for group in found] == [[], [], ["bias_table", "scale"], []]


def test_tables_are_left_out_on_demand() -> None:
    networks = {"encoder": ENCODER, "predictor": {"predictor_pos_embed": MATRIX}}
    assert [group.names for group in groups_of(networks, tables=False)][:2] == [["proj.weight"], []]


def test_without_networks_there_are_four_empty_groups() -> None:
    assert [group.names for group in groups_of({})] == [[]] * 4


def test_names_of_groups_are_those_of_a_module_here() -> None:
    labels = [group.label for group in groups_of({})]
    assert labels == ["context_encoder", "predictor", "context_encoder-no_decay", "predictor-no_decay"]


def test_a_predictor_of_clips_has_its_own_parameters_first() -> None:
    names = ["mask_tokens.0", "mask_tokens.1", "predictor_blocks.0.norm1.weight", "predictor_embed.weight",
             "img_mod_embed", "video_mod_embed", "predictor_pos_embed", "predictor_norm.bias"]  # fmt: skip
    state: dict[str, Tensor] = {name: torch.full((1,), float(place)) for place, name in enumerate(names)}
    found = in_order(state)
    assert list(found) == [
        "predictor_pos_embed", "video_mod_embed", "img_mod_embed", "predictor_embed.weight", "mask_tokens.0",
        "mask_tokens.1", "predictor_blocks.0.norm1.weight", "predictor_norm.bias",
    ]  # fmt: skip
    assert all(found[name] is state[name] for name in names)


def saved(step: Any) -> dict[str, Any]:
    return {"state": {0: {"step": step}}, "param_groups": [{"params": [0]}]}


@pytest.mark.parametrize("step", [0, 3, 3.0, torch.tensor(3.0), torch.tensor([3]), torch.tensor(3, dtype=torch.int64)])
def test_steps_are_numbers_or_tensors_of_one(step: Any) -> None:
    states, groups = read_optimizer(saved(step), "a.pt")
    assert states[0]["step"] is step
    assert groups == [{"params": [0]}]


@pytest.mark.parametrize(
    "step",
    [None, "3", -1, float("nan"), float("inf"), 10**400, 1j, torch.tensor([1, 2]), torch.ones(0), torch.tensor(1j),
     torch.tensor(float("nan")), torch.ones(1, device="meta"), torch.ones(1).to_sparse()],
    ids=repr,
)  # fmt: skip
def test_other_steps_are_damage(step: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^the optimizer of a\.pt is damaged: the state of a parameter has no step\.$"
    ):
        read_optimizer(saved(step), "a.pt")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"param_groups": None}, "its param_groups are not a list of dicts"),
        ({"param_groups": {"params": [0]}}, "its param_groups are not a list of dicts"),
        ({"param_groups": [3]}, "its param_groups are not a list of dicts"),
        ({"param_groups": [{}]}, "a param group has no list of params"),
        ({"param_groups": [{"params": 0}]}, "a param group has no list of params"),
        ({"param_groups": [{"params": ["a"]}]}, "its params are not integers"),
        ({"param_groups": [{"params": [0.5]}]}, "its params are not integers"),
        ({"state": None}, "its state is not a dict of dicts"),
        ({"state": [{"step": 1}]}, "its state is not a dict of dicts"),
        ({"state": {0: 1}}, "its state is not a dict of dicts"),
    ],
)
def test_what_is_no_optimizer_is_damage(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=rf"^the optimizer of a\.pt is damaged: {said}\.$"):
        read_optimizer({**saved(1), **change}, "a.pt")
    with pytest.raises(ValueError, match="damaged"):
        read_optimizer({}, "a.pt")
