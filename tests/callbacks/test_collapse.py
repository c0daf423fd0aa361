import csv
import math

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.nn import functional as F

from jepa_lightning import DINO, IJEPA, MAE
from jepa_lightning.callbacks import CollapseMonitor
from jepa_lightning.losses import content_share, effective_rank, feature_std, mean_cosine, rankme
from jepa_lightning.types import Batch, Masks


class Keep(Callback):
    """Keeps the features of each step, the state before a step, and the measures after it."""

    def __init__(self):
        self.features, self.before, self.logged = [], {}, {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        weights = {name: value.clone() for name, value in pl_module.state_dict().items()}
        self.before[trainer.global_step] = (weights, batch)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.features.append(outputs["features"])
        found = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("collapse/")}
        if found and found not in self.logged.values():
            self.logged[trainer.global_step - 1] = found


def test_measures_are_those_of_the_losses_at_the_right_steps(tiny_ijepa, shapes, quiet_trainer):
    module, keep = tiny_ijepa(lr=1e-2), Keep()
    monitor = CollapseMonitor(every_n_steps=4, num_samples=6, memory=40)
    trainer = quiet_trainer(callbacks=[monitor, keep], max_steps=8, limit_val_batches=0)
    trainer.fit(module, datamodule=shapes())
    # the memory of 40 is full after three batches of 16; then before every fourth step
    assert list(keep.logged) == [3, 7]
    weights, batch = keep.before[7]
    module.load_state_dict(weights)
    module.eval()
    images, masks = batch.views[0][:6], Masks(batch.masks[0].context[:6], batch.masks[0].target[:6])
    with torch.no_grad():
        tokens, context = module.target_encoder(images), module.context_encoder(images).mean(dim=1)
        true = module.energy(Batch([images], (masks,))).mean()
        other = module.energy(Batch([images, images[[5, 0, 1, 2, 3, 4]]], (masks,))).mean()
        targets = [
            module.target_tokens(module.encode_target(images[[i]]))[0, masks.target[i].flatten()] for i in range(6)
        ]
        mean = torch.cat(targets).mean(dim=0)
        blind = torch.stack([F.smooth_l1_loss(mean.expand_as(each), each) for each in targets]).mean()
        online = torch.cat([p.flatten() for p in module.context_encoder.parameters()])
        target = torch.cat([p.flatten() for p in module.target_encoder.parameters()])
    pooled = torch.cat(keep.features[:7])[-40:]
    expected = {
        "rank": rankme(pooled), "effective_rank": effective_rank(pooled),
        "std": feature_std(pooled), "cosine": mean_cosine(pooled),
        "context_rank": rankme(context), "context_effective_rank": effective_rank(context),
        "context_std": feature_std(context), "context_cosine": mean_cosine(context),
        "content_share": content_share(tokens), "ema_drift": (online - target).norm() / online.norm(),
        "energy": true, "energy_other": other, "energy_gap": (other - true) / other, "energy_blind": blind,
        "alarm": torch.tensor(0.0),
    }  # fmt: skip
    assert keep.logged[7].keys() == {f"collapse/{name}" for name in expected}
    for name, value in expected.items():
        assert keep.logged[7][f"collapse/{name}"] == pytest.approx(float(value), rel=1e-4, abs=1e-6), name
    assert expected["ema_drift"] > 0.001
    assert {"collapse/rank", "collapse/energy_gap"} <= trainer.progress_bar_metrics.keys()
    assert "collapse/std" not in trainer.progress_bar_metrics


def test_micro_batches_of_one_step_are_measured_once(tiny_ijepa, shapes, quiet_trainer):
    monitor, measured = CollapseMonitor(every_n_steps=1, memory=16), []
    measure = monitor._bell.check
    monitor._bell.check = lambda values, step: measured.append(values) or measure(values, step)
    trainer = quiet_trainer(callbacks=[monitor], max_epochs=2, accumulate_grad_batches=2, limit_val_batches=0)
    trainer.fit(tiny_ijepa(), datamodule=shapes())
    assert trainer.global_step == len(measured) == 4


@pytest.mark.parametrize("log_every_n_steps", [1, 3, 50])
def test_measures_reach_the_logger_at_the_steps_they_are_taken_and_at_no_other(
    tiny_ijepa, shapes, quiet_trainer, tmp_path, log_every_n_steps
):
    monitor = CollapseMonitor(every_n_steps=3, memory=16)
    trainer = quiet_trainer(
        callbacks=[monitor], logger=CSVLogger(tmp_path), log_every_n_steps=log_every_n_steps,
        max_steps=8, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(tiny_ijepa(), datamodule=shapes())
    trainer.logger.save()
    with open(f"{trainer.logger.log_dir}/metrics.csv") as file:
        logged = [int(row["step"]) for row in csv.DictReader(file) if row["collapse/rank"]]
    # the first ones as soon as the memory is full
    assert logged == [1, 2, 5]
    assert "collapse/rank" in trainer.callback_metrics


class Poisons(Callback):
    """Makes weights NaN before a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == self.step:
            for network in (pl_module.context_encoder, pl_module.target_encoder):
                nn.init.constant_(network.norm.weight, torch.nan)


@pytest.mark.parametrize("step", [1, 5])
def test_weights_that_are_not_finite_end_in_the_modules_own_message(tiny_ijepa, shapes, quiet_trainer, step):
    monitor = CollapseMonitor(every_n_steps=2, memory=16)
    trainer = quiet_trainer(callbacks=[Poisons(step), monitor], max_steps=8, limit_val_batches=0)
    with pytest.raises(FloatingPointError, match=f"the loss is nan at step {step}"):
        trainer.fit(tiny_ijepa(), datamodule=shapes())
    assert all(math.isfinite(value) for value in monitor.state_dict()["bell"]["first"].values())


def test_a_second_fit_compares_with_its_own_first_measures(tiny_ijepa, shapes, quiet_trainer):
    used, new = CollapseMonitor(every_n_steps=2, memory=16), CollapseMonitor(every_n_steps=2, memory=16)
    with pytest.warns(UserWarning, match="complete collapse"):
        quiet_trainer(callbacks=[Flattens(0), used], max_steps=8, limit_val_batches=0).fit(tiny_ijepa(), shapes())
    states = []
    for monitor in (used, new):
        torch.manual_seed(0)
        quiet_trainer(callbacks=[monitor], max_steps=4, limit_val_batches=0).fit(tiny_ijepa(), shapes())
        states.append(monitor.state_dict())
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


class Flattens(Callback):
    """Makes all features the same from a step on."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step >= self.step:
            for network in (pl_module.context_encoder, pl_module.target_encoder):
                nn.init.zeros_(network.norm.weight)


def test_a_collapse_is_explained_once(tiny_ijepa, shapes, quiet_trainer):
    monitor = CollapseMonitor(every_n_steps=2, memory=16)
    trainer = quiet_trainer(callbacks=[Flattens(4), monitor], max_steps=14, limit_val_batches=0)
    with pytest.warns(
        UserWarning, match=r"Step 7: .* standard deviation is 0, from .* \(complete collapse\)"
    ) as record:
        trainer.fit(tiny_ijepa(), datamodule=shapes())
    assert sum("complete collapse" in str(warning.message) for warning in record) == 1
    assert trainer.global_step == 14
    assert trainer.callback_metrics["collapse/alarm"] >= 1


def test_an_encoder_that_is_constant_from_the_start_gives_an_alarm(tiny_ijepa, shapes, quiet_trainer):
    monitor = CollapseMonitor(every_n_steps=2, memory=16)
    trainer = quiet_trainer(callbacks=[Flattens(0), monitor], max_steps=8, limit_val_batches=0)
    with pytest.warns(UserWarning, match="complete collapse"):
        trainer.fit(tiny_ijepa(), datamodule=shapes())


def test_a_healthy_run_gives_no_alarm(tiny_ijepa, shapes, quiet_trainer, recwarn):
    monitor = CollapseMonitor(every_n_steps=2, memory=64)
    trainer = quiet_trainer(callbacks=[monitor], max_steps=12, limit_val_batches=0)
    trainer.fit(tiny_ijepa(regularizer="variance_covariance"), datamodule=shapes())
    assert trainer.callback_metrics["collapse/alarm"] == 0
    assert not [warning for warning in recwarn if "collapse" in str(warning.message)]


class Scattered(IJEPA):
    """Its targets are in another order at each look, so nothing predicts them better than their mean."""

    def target_tokens(self, layers):
        tokens = super().target_tokens(layers)
        order = torch.randperm(tokens.shape[0] * tokens.shape[1])
        return tokens.flatten(0, 1)[order].view_as(tokens)


FIXED = {"ema": (1.0, 1.0)}  # such targets are easy to predict


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options", "count"), [(Scattered, {"content": 1.0}, 1), (IJEPA, FIXED, 0)])
def test_targets_that_nothing_predicts_give_an_alarm_and_others_none(
    tiny_ijepa, shapes, quiet_trainer, recwarn, kind, options, count
):
    torch.manual_seed(0)
    monitor = CollapseMonitor(every_n_steps=10, memory=16)
    trainer = quiet_trainer(callbacks=[monitor], max_steps=120, limit_val_batches=0)
    trainer.fit(tiny_ijepa(kind, **{"lr": 3e-3, "ema": (0.9, 0.9)} | options), datamodule=shapes())
    given = [str(warning.message) for warning in recwarn if "fragmentation" in str(warning.message)]
    assert len(given) == count
    assert all(text.startswith("Step 119: the energy is high for all pairs") for text in given)
    assert monitor.alarm_kinds == ["fragments"] * count
    first, metrics = monitor.state_dict()["bell"]["first"], trainer.callback_metrics
    share = float(metrics["collapse/energy"] / metrics["collapse/energy_blind"])
    assert metrics["collapse/energy_blind"] > 0.5 * first["energy_blind"]  # no collapse
    assert (share > 0.95) == bool(count), share


class Whole(IJEPA):
    can_fragment = False


def test_a_method_that_cannot_fragment_has_no_energy_of_a_blind_prediction(tiny_ijepa, shapes, quiet_trainer):
    assert not MAE.can_fragment
    assert not DINO.can_fragment
    for kind, measured in ((IJEPA, True), (Whole, False)):
        trainer = quiet_trainer(callbacks=[CollapseMonitor(memory=16)], max_steps=2, limit_val_batches=0)
        trainer.fit(tiny_ijepa(kind), datamodule=shapes())
        assert ("collapse/energy_blind" in trainer.callback_metrics) == measured
        assert "collapse/energy" in trainer.callback_metrics


def test_energy_is_that_of_one_crop_where_masks_point_into_it(tiny_ijepa, shapes, quiet_trainer):
    model = tiny_ijepa(regularizer="uniformity", projector_dim=16, num_crops=2, invariance=1.0)
    seen = []
    sides = model.sides
    model.sides = lambda batch: seen.append(batch) or sides(batch)
    monitor = CollapseMonitor(every_n_steps=2, num_samples=4, memory=16)
    quiet_trainer(callbacks=[monitor], max_steps=4, limit_val_batches=0).fit(model, datamodule=shapes())
    assert len(seen) == 2  # once a measure
    assert all(torch.equal(*batch.views) for batch in seen)


class Blurred(IJEPA):
    """An energy of its own, which is not that of the sides."""

    def energy(self, batch):
        return (batch.views[0] - batch.views[-1]).square().mean(dim=(1, 2, 3))


def test_an_energy_of_the_users_own_is_asked_for_both_pairs(tiny_ijepa, shapes, quiet_trainer):
    monitor = CollapseMonitor(every_n_steps=2, num_samples=4, memory=16)
    trainer = quiet_trainer(callbacks=[monitor], max_steps=4, limit_val_batches=0)
    trainer.fit(tiny_ijepa(Blurred), datamodule=shapes())
    assert trainer.callback_metrics["collapse/energy"] == 0
    assert trainer.callback_metrics["collapse/energy_other"] > 0
    assert "collapse/energy_blind" not in trainer.callback_metrics


def test_stop_ends_the_run(tiny_ijepa, shapes, quiet_trainer):
    monitor = CollapseMonitor(every_n_steps=2, memory=16, stop=True)
    trainer = quiet_trainer(callbacks=[Flattens(4), monitor], max_steps=50, limit_val_batches=0)
    with pytest.warns(UserWarning, match=r"complete collapse.* The run ends here \(stop=True\)"):
        trainer.fit(tiny_ijepa(), datamodule=shapes())
    assert trainer.global_step == 8


class Featureless(IJEPA):
    """As the two-view methods: no full view is encoded in a step."""

    def objective(self, batch, progress):
        return super().objective(batch, progress)._replace(features=None)


def test_without_features_from_the_step_it_measures_what_it_encodes(tiny_ijepa, shapes, quiet_trainer):
    monitor = CollapseMonitor(every_n_steps=2, num_samples=8)
    trainer = quiet_trainer(callbacks=[monitor], max_steps=4, limit_val_batches=0)
    trainer.fit(tiny_ijepa(Featureless), datamodule=shapes())
    assert 1 < trainer.callback_metrics["collapse/rank"] <= 8
    assert monitor.state_dict()["recent"] is None
