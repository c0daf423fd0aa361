import io
import math

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from jepa_lightning.nn import Predictor, VisionTransformer
from jepa_lightning.optim.groups import parameter_groups
from jepa_lightning.optim.optimizers import create_optimizer
from jepa_lightning.optim.schedule import WarmupCosine


def networks() -> dict[str, nn.Module]:
    return {
        "encoder": VisionTransformer(image_size=8, patch_size=4, width=16, depth=2, heads=2),
        "predictor": Predictor((2, 2), encoder_width=16, width=8, depth=1, heads=2),
    }


def adamw(lr: float = 1e-3, weight_decay: float = 0.04) -> torch.optim.Optimizer:
    return create_optimizer(parameter_groups(networks(), weight_decay), "adamw", lr)


def run(optimizer: torch.optim.Optimizer, schedule: WarmupCosine, steps: int) -> list[tuple[list[float], list[float]]]:
    """Learning rates and weight decays that each optimizer step sees."""
    seen = []
    for _ in range(steps):
        seen.append(([g["lr"] for g in optimizer.param_groups], [g["weight_decay"] for g in optimizer.param_groups]))
        optimizer.step()
        schedule.step()
    return seen


def test_legacy_schedule_gives_the_numbers_of_the_reference():
    optimizer = adamw(lr=1e-3, weight_decay=0.04)
    schedule = WarmupCosine(optimizer, 100, 10, start_lr=2e-4, final_lr=1e-6, weight_decay_end=0.4, legacy=True)
    seen = run(optimizer, schedule, 130)
    lr = {i + 1: lrs[0] for i, (lrs, _) in enumerate(seen)}
    decay = {i + 1: decays[0] for i, (_, decays) in enumerate(seen)}
    assert lr[1] == pytest.approx(2.8e-4, rel=1e-9)
    assert lr[9] == pytest.approx(9.2e-4, rel=1e-9)
    assert lr[10] == pytest.approx(1e-3, rel=1e-9)
    assert lr[100] == pytest.approx(1e-6, rel=1e-9)
    assert decay[1] == pytest.approx(0.0400888, abs=5e-8)
    assert decay[50] == pytest.approx(0.22, rel=1e-9)
    assert decay[100] == pytest.approx(0.4, rel=1e-9)
    # the reference's rise again here
    assert all(lr[i] == 1e-6 and decay[i] == 0.4 for i in range(101, 131))


def test_schedule_starts_at_the_start_peaks_at_the_end_of_warmup_and_ends_on_the_last_step():
    optimizer = adamw()
    schedule = WarmupCosine(optimizer, 50, 8, start_lr=1e-4, final_lr=1e-5, weight_decay_end=0.4)
    seen = run(optimizer, schedule, 70)
    lr, decay = [lrs[0] for lrs, _ in seen], [decays[0] for _, decays in seen]
    slow = [1e-4 + i / 8 * 9e-4 for i in range(8)]
    slow += [1e-5 + (1e-3 - 1e-5) * 0.5 * (1 + math.cos(math.pi * (i - 8) / (49 - 8))) for i in range(8, 50)]
    assert lr[:50] == pytest.approx(slow, rel=1e-9)
    assert lr[50:] == [1e-5] * 20
    assert decay[0] == pytest.approx(0.04)
    assert decay[:50] == sorted(decay[:50])
    assert decay[49:] == [0.4] * 21


def test_weight_decay_of_the_groups_without_decay_stays_zero_and_without_an_end_all_stay():
    optimizer = adamw()
    schedule = WarmupCosine(optimizer, 10, weight_decay_end=0.4)
    assert all(decays[2:] == [0.0, 0.0] for _, decays in run(optimizer, schedule, 12))
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.4, 0.4, 0.0, 0.0]

    optimizer = adamw()
    assert all(d == [0.04, 0.04, 0.0, 0.0] for _, d in run(optimizer, WarmupCosine(optimizer, 10), 12))


def test_decay_can_rise_from_zero_where_a_group_says_so_and_not_where_it_does_not():
    optimizer = adamw(weight_decay=0.0)
    run(optimizer, WarmupCosine(optimizer, 5, weight_decay_end=0.4), 5)
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.4, 0.4, 0.0, 0.0]

    optimizer = torch.optim.AdamW([{"params": nn.Linear(2, 2).parameters()}], lr=1e-3, weight_decay=0.0)
    run(optimizer, WarmupCosine(optimizer, 5, weight_decay_end=0.4), 5)
    assert optimizer.param_groups[0]["weight_decay"] == 0.0


def test_groups_keep_the_ratio_of_their_learning_rates_at_every_step():
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    groups = [{"params": one.parameters()}, {"params": two.parameters(), "lr": 1e-4}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    schedule = WarmupCosine(optimizer, 30, 5, start_lr=2e-4, final_lr=1e-6)
    for lrs, _ in run(optimizer, schedule, 40):
        assert lrs[1] == pytest.approx(lrs[0] / 10, rel=1e-9)
    assert schedule.get_last_lr() == pytest.approx([1e-6, 1e-7])


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(("total", "warmup"), [(1, 0), (2, 0), (2, 1), (10, 0), (10, 1), (10, 9)])
def test_short_runs_and_warmups_divide_by_nothing_and_never_rise_after_the_peak(total, warmup, legacy):
    optimizer = adamw()
    schedule = WarmupCosine(optimizer, total, warmup, start_lr=1e-4, final_lr=1e-5, legacy=legacy)
    lr = [lrs[0] for lrs, _ in run(optimizer, schedule, total + 5)]
    peak = max(range(len(lr)), key=lr.__getitem__)
    assert peak == max(warmup - legacy, 0)
    assert lr[: peak + 1] == sorted(lr[: peak + 1])
    assert lr[peak:] == sorted(lr[peak:], reverse=True)
    assert lr[-1] == pytest.approx(1e-5)


@pytest.mark.parametrize(
    ("total", "warmup", "message"),
    [
        (10, 10, "warm-up of 10 steps does not end within 10 steps"),
        (10, 40, "warm-up of 40 steps does not end within 10 steps"),
        (10, -1, "warm-up of -1 steps"),
        (0, 0, "a schedule over 0 steps"),
        (-1, 0, "a schedule over -1 steps"),
        (math.inf, 0, "a schedule over inf steps is not possible: set max_steps"),
    ],
)
def test_impossible_horizons_are_named(total, warmup, message):
    with pytest.raises(ValueError, match=message):
        WarmupCosine(adamw(), total, warmup)


def test_a_learning_rate_of_zero_is_named():
    with pytest.raises(ValueError, match="learning rate above 0, got 0"):
        WarmupCosine(adamw(lr=0.0), 10)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("stop", [1, 3, 7, 19])
@pytest.mark.filterwarnings("error")
def test_resume_at_any_step_continues_identically_from_plain_data(stop, legacy):
    def make():
        optimizer = adamw()
        options = {"start_lr": 2e-4, "final_lr": 1e-6, "weight_decay_end": 0.4, "legacy": legacy}
        return optimizer, WarmupCosine(optimizer, 15, 4, **options)

    whole = run(*make(), 25)
    optimizer, schedule = make()
    run(optimizer, schedule, stop)
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    for keys in (["optimizer", "schedule"], ["schedule", "optimizer"], ["schedule"]):
        optimizer, schedule = make()
        for key in keys:
            {"optimizer": optimizer, "schedule": schedule}[key].load_state_dict(saved[key])
        assert schedule.get_last_lr() == whole[stop][0]
        assert run(optimizer, schedule, 25 - stop) == whole[stop:]


def test_a_schedule_over_an_optimizer_loaded_midway_knows_the_first_weight_decay():
    optimizer = adamw()
    schedule = WarmupCosine(optimizer, 10, 2, weight_decay_end=0.4)
    run(optimizer, schedule, 5)
    reloaded = adamw()
    reloaded.load_state_dict(optimizer.state_dict())
    again = WarmupCosine(reloaded, 10, 2, weight_decay_end=0.4)
    again.load_state_dict(schedule.state_dict())
    assert run(reloaded, again, 8) == run(optimizer, schedule, 8)


def test_a_longer_horizon_on_resume_stretches_the_schedule():
    optimizer = adamw()
    schedule = WarmupCosine(optimizer, 10, 2, final_lr=1e-6)
    run(optimizer, schedule, 10)
    longer = WarmupCosine(adamw(), 20, 2, final_lr=1e-6)
    longer.load_state_dict(schedule.state_dict())
    assert longer.get_last_lr()[0] == pytest.approx(1e-6 + (1e-3 - 1e-6) / 2 * (1 + math.cos(math.pi * 8 / 17)))


def test_a_resumed_run_takes_the_options_that_are_given_now_and_keeps_the_optimizers_own():
    def make(lr, betas, decay, constant):
        groups = parameter_groups(networks(), decay, constant)
        optimizer = create_optimizer(groups, "adamw", lr, betas)
        return optimizer, WarmupCosine(optimizer, 10, 2, given=["betas"])

    optimizer, schedule = make(1e-3, (0.9, 0.95), 0.04, ())
    run(optimizer, schedule, 5)
    for group in optimizer.param_groups:
        group["state_of_its_own"] = 7  # as Prodigy keeps its estimate
    now, later = make(2e-3, (0.8, 0.99), 0.1, ())
    now.load_state_dict(optimizer.state_dict())
    later.load_state_dict(schedule.state_dict())
    fresh, expected = make(2e-3, (0.8, 0.99), 0.1, ())
    run(fresh, expected, 5)
    for group, wanted in zip(now.param_groups, fresh.param_groups, strict=True):
        assert group.pop("state_of_its_own") == 7
        assert {**group, "params": ()} == {**wanted, "params": ()}


def test_lightning_steps_it_once_per_optimizer_step_under_accumulation():
    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 1)
            self.seen = []

        def training_step(self, batch, batch_idx):
            return self.layer(batch).square().mean()

        def on_before_optimizer_step(self, optimizer):
            self.seen.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]))

        def configure_optimizers(self):
            optimizer = create_optimizer(parameter_groups({"layer": self.layer}, 0.04), "adamw", 1e-3)
            total = self.trainer.estimated_stepping_batches
            schedule = WarmupCosine(optimizer, total, 2, final_lr=1e-6, weight_decay_end=0.4)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    module = Module()
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=2,
        accumulate_grad_batches=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(torch.randn(10, 4), batch_size=2))
    optimizer = adamw()
    schedule = WarmupCosine(optimizer, 6, 2, final_lr=1e-6, weight_decay_end=0.4)
    assert module.seen == [(lrs[0], decays[0]) for lrs, decays in run(optimizer, schedule, 6)]


def test_a_constant_group_keeps_its_learning_rate_while_others_follow_the_schedule():
    networks = {"encoder": nn.Linear(2, 2), "predictor": nn.Linear(2, 2)}
    groups = parameter_groups(networks, 0.04, constant=("predictor",))
    optimizer = create_optimizer(groups, "adamw", lr=0.1)
    schedule = WarmupCosine(optimizer, total_steps=10, warmup_steps=2, start_lr=0.01, final_lr=0.001)
    for _ in range(12):
        rates = {group["name"]: group["lr"] for group in optimizer.param_groups}
        assert rates["predictor"] == rates["predictor-no_decay"] == 0.1
        assert rates["encoder"] == rates["encoder-no_decay"]
        optimizer.step()
        schedule.step()
    assert rates["encoder"] == pytest.approx(0.001)


def test_a_line_instead_of_a_cosine() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2, 2))], lr=1.0)
    schedule = WarmupCosine(optimizer, total_steps=11, final_lr=0.0, linear=True)
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(12):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1 - i / 10 for i in range(11)] + [0.0, 0.0])
