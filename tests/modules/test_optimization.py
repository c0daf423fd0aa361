import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from jepa_lightning import IJEPA
from jepa_lightning.types import StepOutput

Build = Callable[..., Any]


class Recorder(Callback):
    """Keeps what the optimizer had at each of its steps."""

    def __init__(self) -> None:
        self.lrs: list[float] = []
        self.decays: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.lrs.append(optimizer.param_groups[0]["lr"])
        self.decays.append(optimizer.param_groups[0]["weight_decay"])


def test_schedule_moves_at_optimizer_steps_only(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    model, recorder = tiny_ijepa(lr=1e-3, start_lr=1e-4, final_lr=1e-5, warmup="1 epoch"), Recorder()
    # 4 batches an epoch, 2 steps an epoch: 8 steps, 2 of them warm-up
    quiet_trainer(max_epochs=4, accumulate_grad_batches=2, callbacks=[recorder]).fit(model, shapes())
    assert len(recorder.lrs) == 8
    assert recorder.lrs[:3] == pytest.approx([1e-4, 5.5e-4, 1e-3])
    assert recorder.lrs[-1] == pytest.approx(1e-5)
    assert recorder.decays[0] == pytest.approx(0.04)
    assert recorder.decays[-1] == pytest.approx(0.4)


@pytest.mark.parametrize(("limits", "steps"), [({}, 7), ({"max_steps": 5}, 5)])
def test_the_schedule_ends_with_a_run_that_accumulates_less_from_epoch_to_epoch(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, limits: dict[str, int], steps: int
) -> None:
    seen = []

    class Watching(IJEPA):
        def objective(self, batch: Any, progress: float) -> StepOutput:
            seen.append(progress)
            return super().objective(batch, progress)

    model, recorder = tiny_ijepa(Watching, lr=1e-3, final_lr=1e-5, warmup=0), Recorder()
    callbacks = [recorder, GradientAccumulationScheduler({0: 4, 1: 2, 2: 1})]
    quiet_trainer(max_epochs=3, callbacks=callbacks, limit_val_batches=0, **limits).fit(model, shapes())
    expected = [1e-5 + (1e-3 - 1e-5) / 2 * (1 + math.cos(math.pi * i / (steps - 1))) for i in range(steps)]
    assert recorder.lrs == pytest.approx(expected)
    assert seen[-1] == pytest.approx((steps - 1) / steps)


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        for _ in range(64):
            yield torch.rand(3, 32, 32)


def test_epochs_of_data_without_a_length_are_refused_with_what_to_set(tiny_ijepa: Build, quiet_trainer: Build) -> None:
    model = tiny_ijepa()
    loader = DataLoader(Endless(), batch_size=8, collate_fn=model.pipeline().collate)
    with pytest.raises(MisconfigurationException, match=r"max_epochs=2 does not tell .*: set max_steps"):
        quiet_trainer(max_epochs=2).fit(model, loader)
    trainer = quiet_trainer(max_steps=3)
    trainer.fit(model, loader)
    assert trainer.global_step == 3


def test_a_stretched_schedule_is_cut_off_at_the_end_of_the_run(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build
) -> None:
    # the end of V-JEPA's recipe: 1.25 times the run, without its warm-up
    model, recorder = tiny_ijepa(lr=1e-3, final_lr=0.0, warmup=0, lr_decay="linear", schedule_stretch=1.25), Recorder()
    quiet_trainer(max_epochs=2, callbacks=[recorder]).fit(model, shapes())
    assert recorder.lrs == pytest.approx([1e-3 * (1 - i / 9) for i in range(8)])


def test_a_warm_up_longer_than_the_run_is_cut_with_a_word(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build
) -> None:
    recorder = Recorder()
    with pytest.warns(UserWarning, match="a warm-up of 160 steps is cut to end within the 3 steps"):
        quiet_trainer(max_steps=3, callbacks=[recorder]).fit(tiny_ijepa(warmup="40 epochs"), shapes())
    assert len(recorder.lrs) == 3


@pytest.mark.parametrize(
    ("precision", "clips", "fused"),
    [("32-true", 1.0, True), ("bf16-mixed", None, True), ("bf16-mixed", 1.0, None)],
)
def test_the_kernel_of_the_optimizer_suits_precision_and_clipping(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, precision: str, clips: float | None, fused: bool | None
) -> None:
    trainer = quiet_trainer(max_steps=2, precision=precision, gradient_clip_val=clips, limit_val_batches=0)
    trainer.fit(tiny_ijepa(), shapes())
    assert trainer.optimizers[0].param_groups[0]["fused"] is fused
