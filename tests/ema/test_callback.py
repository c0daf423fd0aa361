import csv
import warnings

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader

from jepa_lightning.callbacks import EMACallback
from jepa_lightning.ema import frozen_copy


class OnlineWeights(Callback):
    """Keeps the online weights after every optimizer step; runs before the module's own EMA."""

    def __init__(self):
        self.weights = []
        self.stepped = False

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.stepped = True

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if self.stepped:
            self.weights.append([p.detach().double() for p in pl_module.context_encoder.parameters()])
        self.stepped = False


class TargetMoves(Callback):
    """Notes whether the target differs at each batch from the one before."""

    def __init__(self):
        self.moved = []

    def on_train_start(self, trainer, pl_module):
        self.last = snapshot(pl_module.target_encoder)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        now = snapshot(pl_module.target_encoder)
        self.moved.append(any(not torch.equal(a, b) for a, b in zip(now, self.last, strict=True)))
        self.last = now


def snapshot(network):
    return [p.detach().clone() for p in network.parameters()]


@pytest.mark.parametrize("limits", [{"max_epochs": 2}, {"max_steps": 5, "max_epochs": -1}])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_target_is_the_average_of_the_weights_after_each_optimizer_step(
    tiny_ijepa, shapes, quiet_trainer, limits, accumulate
):
    module, watch = tiny_ijepa(ema=(0.9, 0.98)), OnlineWeights()
    slow = [p.double().clone() for p in module.target_encoder.parameters()]
    trainer = quiet_trainer(callbacks=[watch], accumulate_grad_batches=accumulate, limit_val_batches=0, **limits)
    trainer.fit(module, datamodule=shapes())
    total = 5 if "max_steps" in limits else 2 * (4 if accumulate == 1 else 2)
    assert len(watch.weights) == total
    for step, weights in enumerate(watch.weights):
        decay = 0.9 + (0.98 - 0.9) * step / total
        slow = [decay * old + (1 - decay) * new for old, new in zip(slow, weights, strict=True)]
    for expected, target in zip(slow, module.target_encoder.parameters(), strict=True):
        torch.testing.assert_close(target.double(), expected, atol=1e-6, rtol=0)


def test_it_moves_on_no_other_batch(tiny_ijepa, shapes, quiet_trainer):
    watch = TargetMoves()
    trainer = quiet_trainer(callbacks=[watch], max_epochs=2, accumulate_grad_batches=3, limit_val_batches=0)
    trainer.fit(tiny_ijepa(), datamodule=shapes())
    # four batches an epoch: a step after the third and after the last; each is seen at the start of the next batch
    assert watch.moved == [False, False, False, True, True, False, False, True]


def test_the_trainers_own_callback_takes_the_place_of_the_modules(tiny_ijepa, shapes, quiet_trainer):
    module = tiny_ijepa(ema=(0.5, 0.5))
    before = snapshot(module.target_encoder)
    trainer = quiet_trainer(callbacks=[EMACallback(1.0, 1.0)], max_steps=3, limit_val_batches=0)
    trainer.fit(module, datamodule=shapes())
    assert sum(isinstance(callback, EMACallback) for callback in trainer.callbacks) == 1
    assert all(torch.equal(a, b) for a, b in zip(before, module.target_encoder.parameters(), strict=True))


def test_a_line_over_a_run_of_unknown_length_is_refused(quiet_trainer):
    module = LightningModule()
    module.online, module.target = nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False)
    module.training_step = lambda batch, batch_idx: module.online(batch).sum()
    module.configure_optimizers = lambda: torch.optim.SGD(module.online.parameters(), lr=0.1)
    trainer = quiet_trainer(
        callbacks=[EMACallback(0.9, 1.0, pairs=[("online", "target")])], max_epochs=-1, limit_val_batches=0
    )
    with pytest.raises(MisconfigurationException, match=r"from 0\.9 to 1\.0, and this run has no known length"):
        trainer.fit(module, DataLoader(torch.ones(4, 1)))


def test_named_pairs_follow_by_the_decay(quiet_trainer):
    module = LightningModule()
    module.online, module.target = nn.Linear(1, 1), nn.Linear(1, 1).requires_grad_(False)
    module.training_step = lambda batch, batch_idx: module.online(batch).sum()
    module.configure_optimizers = lambda: torch.optim.SGD(module.online.parameters(), lr=0.5)
    online, target = (float(network.weight.detach()) for network in (module.online, module.target))
    callback = EMACallback(0.9, 0.9, pairs=[("online", "target")])
    quiet_trainer(callbacks=[callback], max_steps=3).fit(module, DataLoader(torch.ones(4, 1)))
    for _ in range(3):
        online -= 0.5
        target = 0.9 * target + 0.1 * online
    assert float(module.target.weight) == pytest.approx(target, rel=1e-5)


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_weights_in_half_precision_are_refused_before_training(tiny_ijepa, shapes, quiet_trainer, precision):
    trainer = quiet_trainer(max_steps=1, precision=precision, limit_val_batches=0)
    with pytest.raises(MisconfigurationException, match=rf"cannot follow in precision {precision}.*bf16-mixed"):
        trainer.fit(tiny_ijepa(), datamodule=shapes())


def test_two_callbacks_are_refused_since_targets_would_move_twice(tiny_ijepa, shapes, quiet_trainer):
    trainer = quiet_trainer(max_steps=1, callbacks=[EMACallback(), EMACallback(0.9)], limit_val_batches=0)
    with pytest.raises(MisconfigurationException, match="has 2 EMACallbacks"):
        trainer.fit(tiny_ijepa(), datamodule=shapes())


def test_mixed_precision_is_welcome(tiny_ijepa, shapes, quiet_trainer):
    module = tiny_ijepa()
    quiet_trainer(max_steps=1, precision="bf16-mixed", limit_val_batches=0).fit(module, datamodule=shapes())
    assert {p.dtype for p in module.target_encoder.parameters()} == {torch.float32}


def test_a_decay_that_falls_is_refused():
    with pytest.raises(ValueError, match=r"the EMA runs from 0\.9 to 0\.8: give the smaller decay first"):
        EMACallback(0.9, 0.8)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="there is no EMA schedule 'cosin': choose one of linear, cosine"):
        EMACallback(0.9, 1.0, "cosin")


def test_a_module_hands_its_schedule_to_the_callback(tiny_ijepa, shapes, quiet_trainer):
    module = tiny_ijepa(ema=(0.9, 1.0), ema_schedule="cosine")
    trainer = quiet_trainer(max_steps=1, limit_val_batches=0)
    trainer.fit(module, datamodule=shapes())
    (callback,) = (callback for callback in trainer.callbacks if isinstance(callback, EMACallback))
    assert (callback.start, callback.end, callback.schedule) == (0.9, 1.0, "cosine")


def test_lightnings_warning_about_modules_in_eval_mode_is_kept_back_for_the_start_of_the_run_alone(
    tiny_ijepa, shapes, quiet_trainer
):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        quiet_trainer(max_steps=1, limit_val_batches=0).fit(tiny_ijepa(), datamodule=shapes())
        assert list(warnings.filters) == before
        assert not [each for each in seen if "in eval mode" in str(each.message)]
        warnings.warn("Found 3 module(s) in eval mode at the start", stacklevel=1)
    assert "in eval mode" in str(seen[-1].message)


def test_a_run_that_fails_before_its_start_leaves_no_filter(tiny_ijepa, shapes, quiet_trainer):
    before = list(warnings.filters)
    with pytest.raises(MisconfigurationException):
        quiet_trainer(max_steps=1, precision="bf16-true").fit(tiny_ijepa(), datamodule=shapes())
    assert list(warnings.filters) == before


def test_a_network_that_is_replaced_in_training_is_followed(tiny_ijepa, shapes, quiet_trainer):
    class Replace(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 1:
                pl_module.target_encoder = frozen_copy(pl_module.context_encoder)
                self.start = snapshot(pl_module.target_encoder)

    module, replace = tiny_ijepa(ema=(0.5, 0.5)), Replace()
    quiet_trainer(max_steps=2, callbacks=[replace], limit_val_batches=0).fit(module, datamodule=shapes())
    moved = zip(replace.start, module.target_encoder.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in moved)


def test_the_last_decay_is_that_of_the_real_number_of_steps(tiny_ijepa, shapes, quiet_trainer):
    module = tiny_ijepa(ema=(0.5, 0.9))
    callbacks = [GradientAccumulationScheduler({0: 4, 1: 2, 2: 1})]
    trainer = quiet_trainer(max_epochs=3, callbacks=callbacks, limit_val_batches=0)
    trainer.fit(module, datamodule=shapes())
    (ema,) = (callback for callback in trainer.callbacks if isinstance(callback, EMACallback))
    assert trainer.global_step == ema._total_steps == 1 + 2 + 4


def test_the_decay_of_each_step_is_logged(tiny_ijepa, shapes, quiet_trainer, tmp_path):
    trainer = quiet_trainer(max_steps=4, limit_val_batches=0, logger=CSVLogger(tmp_path), log_every_n_steps=1)
    trainer.fit(tiny_ijepa(ema=(0.9, 0.98)), datamodule=shapes())
    with open(f"{trainer.logger.log_dir}/metrics.csv") as file:
        logged = [float(row["train/ema_decay"]) for row in csv.DictReader(file) if row["train/ema_decay"]]
    assert logged == pytest.approx([0.9, 0.92, 0.94, 0.96])


def test_an_empty_list_of_pairs_is_refused():
    with pytest.raises(ValueError, match="pairs is empty"):
        EMACallback(pairs=[])
