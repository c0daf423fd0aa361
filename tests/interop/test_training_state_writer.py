"""Optimizer, scaler and epoch of a checkpoint of this package in the form of the reference."""

from typing import Any

import pytest
import torch

from jepa_lightning.checkpoints import OPTIMIZERS
from jepa_lightning.interop.training_state_writer import SCALER, on_cpu, reference_loop

NETWORKS = {
    "encoder": {"pos_embed": torch.ones(1, 2, 2), "proj.weight": torch.ones(2, 2), "proj.bias": torch.ones(2)},
    "predictor": {"embed.weight": torch.ones(2, 2)},
}


def checkpoint(**changes: Any) -> dict[str, Any]:
    names = ("context_encoder", "predictor", "context_encoder-no_decay", "predictor-no_decay")
    groups = [{"name": name, "lr": 0.1 + place, "initial_lr": 3, "params": []} for place, name in enumerate(names)]
    states = {f"{name}.weight": {"step": torch.tensor(3.0)} for name in ("context_encoder.proj", "predictor.embed")}
    optimizer = {"state": states, "param_groups": groups[::-1]}
    return {OPTIMIZERS: ["AdamW"], "optimizer_states": [optimizer], "epoch": 4, SCALER: {"scale": 2.0}, **changes}


def test_parameters_are_numbered_through_all_groups() -> None:
    found = reference_loop(checkpoint(), NETWORKS)
    groups = found["opt"]["param_groups"]
    assert [group["params"] for group in groups] == [[0, 1], [2], [3], []]
    assert [group["lr"] for group in groups] == [0.1, 1.1, 2.1, 3.1]  # by name
    assert all(set(group) == {"lr", "params"} for group in groups)  # what AdamW knows
    assert {number: float(state["step"]) for number, state in found["opt"]["state"].items()} == {1: 3.0, 2: 3.0}
    assert (found["epoch"], found["lr"], found["scaler"]) == (5, 0.1, {"scale": 2.0})


@pytest.mark.parametrize(
    "changes",
    [{OPTIMIZERS: ["LARS"]}, {OPTIMIZERS: ["AdamW", "AdamW"]}, {OPTIMIZERS: None}, {"optimizer_states": []},
     {"optimizer_states": None}],
)  # fmt: skip
def test_without_one_adamw_there_is_nothing(changes: dict[str, Any]) -> None:
    assert reference_loop(checkpoint(**changes), NETWORKS) == {}


def test_a_checkpoint_that_lacks_a_group_is_damaged() -> None:
    content = checkpoint()
    del content["optimizer_states"][0]["param_groups"][0]
    with pytest.raises(ValueError, match=r"has no parameter group predictor-no_decay: it is damaged"):
        reference_loop(content, NETWORKS)


def test_states_are_on_the_cpu_without_a_graph() -> None:
    value = torch.ones(2, requires_grad=True)
    found = on_cpu({"exp_avg": value, "step": 3})
    assert found["step"] == 3
    assert torch.equal(found["exp_avg"], torch.ones(2))
    assert not found["exp_avg"].requires_grad
