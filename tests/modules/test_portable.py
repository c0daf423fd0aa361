from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jepa_lightning.modules.portable import name_states_

Build = Callable[..., Any]


def trained(module: nn.Module, *groups: Any, **options: Any) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW([{"params": list(group)} for group in groups], **options)
    for parameter in module.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return optimizer


def test_states_get_the_names_of_their_parameters() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    weights, biases = (module[0].weight, module[1].weight), (module[0].bias, module[1].bias)
    optimizer = trained(module, weights, biases)
    state = optimizer.state_dict()
    name_states_(state, optimizer, module)
    assert [group["params"] for group in state["param_groups"]] == [["0.weight", "1.weight"], ["0.bias", "1.bias"]]
    for name, parameter in module.named_parameters():
        assert state["state"][name]["exp_avg"] is optimizer.state[parameter]["exp_avg"]
    # an optimizer takes them
    other = trained(module, weights, biases)
    other.load_state_dict(state)
    for parameter in module.parameters():
        assert torch.equal(other.state[parameter]["exp_avg"], optimizer.state[parameter]["exp_avg"])
    again = {part: dict(value) if part == "state" else value for part, value in state.items()}
    name_states_(again, optimizer, module)
    assert again == state


def test_what_another_rank_holds_stays_empty() -> None:
    module = nn.Linear(2, 3)
    optimizer = trained(module, module.parameters())
    nothing: dict[str, Any] = {}
    name_states_(nothing, optimizer, module)
    assert nothing == {}


def test_checkpoints_have_names_and_may_hold_weights_alone(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(module := tiny_ijepa(), shapes())
    trainer.save_checkpoint(tmp_path / "all.ckpt")
    trainer.save_checkpoint(tmp_path / "weights.ckpt", weights_only=True)
    state = torch.load(tmp_path / "all.ckpt", weights_only=True)["optimizer_states"][0]["state"]
    assert set(state) == {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert "optimizer_states" not in torch.load(tmp_path / "weights.ckpt", weights_only=True)
