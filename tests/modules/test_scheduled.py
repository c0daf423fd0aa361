from typing import Any

import pytest
import torch
from torch import nn

from jepa_lightning.modules.scheduled import Scheduled
from jepa_lightning.options import PositiveInt


class Method(Scheduled):
    """Two networks; one has its learning rate stay."""

    constant_lr = ("head",)
    not_plain = ("network",)

    def __init__(self, size: PositiveInt = 3, network: nn.Module | None = None, note: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body = network or nn.Linear(size, size)
        self.head = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 1))
        self.still = nn.Linear(size, size).requires_grad_(False)

    @classmethod
    def unused_options(cls, options: Any) -> dict[str, str]:
        return {"note": "size is 1"} if options["size"] == 1 else {}


def test_options_of_the_subclass_are_saved_and_what_is_no_plain_data_is_not() -> None:
    module = Method(4, network=nn.Linear(4, 4), lr=2e-3, betas=(0.8, 0.9))
    assert module.hparams["size"] == 4
    assert module.hparams["betas"] == (0.8, 0.9)
    assert module.hparams["warmup"] == 0.1
    assert "network" not in module.hparams
    assert Method(**dict(module.hparams)).hparams == module.hparams


def test_groups_are_by_network_and_decay_and_have_no_weight_that_rests() -> None:
    module = Method(weight_decay=0.3)
    groups = {group["name"]: group for group in module.optimizer_groups()}
    assert {name: (group["weight_decay"], group["constant"]) for name, group in groups.items()} == {
        "body": (0.3, False), "head": (0.3, True), "body-no_decay": (0.0, False), "head-no_decay": (0.0, True),
    }  # fmt: skip
    assert [id(p) for p in groups["head-no_decay"]["params"]] == [
        id(p) for p in (module.head[0].weight, module.head[0].bias, module.head[1].bias)
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size=0 is out of range"),
        ({"lr": -1.0}, "lr=-1 is out of range"),
        ({"betas": (0.9, 1.0)}, "betas=.* is out of range"),
        ({"schedule_stretch": 0.5}, "schedule_stretch=0.5 is out of range"),
        ({"size": 1, "note": "x"}, "note='x' has no effect, since size is 1"),
    ],
)
def test_options_are_checked_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^[^\n]*{message}[^\n]*$"):
        Method(**options)


def test_a_default_is_no_option_without_effect() -> None:
    assert Method(size=1, note="").hparams["note"] == ""


def test_what_is_given_reaches_the_optimizer() -> None:
    module = Method(
        optimizer="sgd", lr=0.5, optimizer_options={"momentum": 0.7}, warmup=4, lr_decay="linear", schedule_stretch=2.0,
        legacy_schedule=True, start_lr=0.1, final_lr=0.01, final_weight_decay=None,
    )  # fmt: skip
    assert (module.optimizer_name, module.lr, module.start_lr, module.final_lr) == ("sgd", 0.5, 0.1, 0.01)
    assert (module.weight_decay, module.final_weight_decay) == (0.04, None)
    assert module.optimizer_options == {"momentum": 0.7}
    assert (module.warmup, module.lr_decay, module.schedule_stretch) == (4, "linear", 2.0)
    assert module.legacy_schedule
    assert Method().betas is None


def test_learning_rates_and_weight_decays_of_a_run_are_those_of_the_formula(quiet_trainer: Any) -> None:
    rates: list[dict[str, tuple[float, float]]] = []

    class Run(Method):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            rates.append({g["name"]: (g["lr"], g["weight_decay"]) for g in self.optimizers().param_groups})
            return self.head(self.body(batch)).square().mean()

    torch.manual_seed(0)
    module = Run(
        optimizer="sgd", lr=1.0, start_lr=0.2, final_lr=0.1, weight_decay=0.4, final_weight_decay=0.8, warmup=2,
        lr_decay="linear",
    )  # fmt: skip
    loader = torch.utils.data.DataLoader(torch.randn(11, 3), batch_size=1)
    quiet_trainer(max_steps=11).fit(module, loader)
    assert len(rates) == 11
    for step, found in enumerate(rates):
        rate = 0.2 + 0.4 * step if step < 2 else 1.0 - 0.9 * (step - 2) / 8
        decay = 0.4 + 0.4 * (1 - torch.cos(torch.tensor(step / 10 * torch.pi)).item()) / 2
        assert found["body"] == (pytest.approx(rate), pytest.approx(decay))
        assert found["body-no_decay"] == (pytest.approx(rate), 0.0)
        assert found["head"] == (1.0, pytest.approx(decay))
