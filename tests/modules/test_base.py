from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import EMACallback
from jepa_lightning.modules.finite_loss import FiniteLoss
from jepa_lightning.types import StepOutput

Build = Callable[..., Any]


def weights(module: torch.nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_ema_is_added_unless_the_trainer_brings_one(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(tiny_ijepa(ema=(0.9, 0.95)), shapes())
    (ema,) = [c for c in trainer.callbacks if isinstance(c, EMACallback)]
    assert (ema.start, ema.end) == (0.9, 0.95)
    own = EMACallback(0.5, 0.6)
    trainer = quiet_trainer(max_steps=1, callbacks=[own])
    trainer.fit(tiny_ijepa(), shapes())
    assert [c for c in trainer.callbacks if isinstance(c, EMACallback)] == [own]


@pytest.mark.parametrize("workers", [0, 2])
def test_ten_steps_equal_five_and_five_resumed_in_the_middle_of_an_epoch(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, workers: int
) -> None:
    def run(ckpt: Path | None = None) -> IJEPA:
        saver = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=5, save_top_k=-1)
        model = tiny_ijepa(regularizer="sigreg", drop_path=0.5)
        torch.manual_seed(7 if ckpt is None else 99)  # the resumed run continues with the seed of the first
        data = shapes(num_workers=workers)
        trainer = quiet_trainer(
            max_steps=10, accumulate_grad_batches=2, enable_checkpointing=True, callbacks=[saver], limit_val_batches=0
        )
        trainer.fit(model, data, ckpt_path=ckpt)
        return model

    whole = weights(run())
    resumed = weights(run(tmp_path / "step=5.ckpt"))
    assert equal(whole, resumed)


def test_loads_without_arguments_and_with_weights_only(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    model = tiny_ijepa(regularizer="variance_covariance")
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(model, shapes())
    path = tmp_path / "run.ckpt"
    trainer.save_checkpoint(path)
    assert torch.load(path, weights_only=True)["hyper_parameters"]["width"] == 48
    assert equal(weights(IJEPA.load_from_checkpoint(path)), weights(model))


def test_a_subclass_with_options_of_its_own_loads_too(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(tiny_ijepa(Scaled, factor=3.0), shapes())
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    assert Scaled.load_from_checkpoint(tmp_path / "run.ckpt").factor == 3.0


class Scaled(IJEPA):
    def __init__(self, factor: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor


class Broken(IJEPA):
    def __init__(self, at: float = 0.5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.at = at

    def objective(self, batch: Any, progress: float) -> StepOutput:
        output = super().objective(batch, progress)
        return output._replace(loss=output.loss * (float("nan") if progress >= self.at else 1))


def test_nan_ends_the_run_before_the_step(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    model = tiny_ijepa(Broken)
    with pytest.raises(FloatingPointError, match=r"the loss is nan at step 2, learning rate"):
        quiet_trainer(max_steps=4).fit(model, shapes())
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("when", ["saved", "ended"])
def test_a_loss_that_a_gpu_is_still_computing_is_checked_before_anything_is_saved_and_at_the_end(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, monkeypatch: Any, when: str
) -> None:
    """A GPU, on which the check of a loss waits for the next one, is played by a check that does not take place."""

    def add(losses: FiniteLoss, loss: torch.Tensor, step: int, lr: float) -> None:
        losses.check()
        losses._pending = (loss.item, step, lr)

    monkeypatch.setattr(FiniteLoss, "add", add)
    saver = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    options = {"callbacks": [saver], "enable_checkpointing": True} if when == "saved" else {}
    with pytest.raises(FloatingPointError, match="the loss is nan at step 2"):
        quiet_trainer(max_steps=3, limit_val_batches=0, **options).fit(tiny_ijepa(Broken, at=2 / 3), shapes())
    saved = {path.stem for path in tmp_path.glob("*.ckpt")}
    assert saved == ({"step=1", "step=2"} if when == "saved" else set())


def test_objective_sees_the_progress_of_the_run(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    seen = []

    class Watching(IJEPA):
        def objective(self, batch: Any, progress: float) -> StepOutput:
            if self.training:
                seen.append(progress)
            return super().objective(batch, progress)

    quiet_trainer(max_steps=4).fit(tiny_ijepa(Watching), shapes())
    assert seen == [0.0, 0.25, 0.5, 0.75]


class Drawing(IJEPA):
    """Keeps a random number from each objective in training."""

    def __init__(self, rank: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rank = rank
        self.drawn: list[float] = []

    @property
    def global_rank(self) -> int:
        return self.rank

    def objective(self, batch: Any, progress: float) -> StepOutput:
        self.drawn.append(torch.rand(()).item())
        return super().objective(batch, progress)


def test_dropout_differs_between_ranks_steps_and_micro_batches_and_not_between_runs(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build
) -> None:
    def drawn(rank: int, seed: int = 3) -> list[float]:
        model, data = tiny_ijepa(Drawing, rank=rank), shapes()
        torch.manual_seed(seed)
        quiet_trainer(max_steps=2, accumulate_grad_batches=2, limit_val_batches=0).fit(model, data)
        return model.drawn

    first, second = drawn(rank=0), drawn(rank=1)
    assert len({*first, *second}) == 8
    assert drawn(rank=0) == first
    assert {*drawn(rank=0, seed=4)}.isdisjoint(first)


def test_validation_and_prediction(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    trainer, model = quiet_trainer(), tiny_ijepa()
    (first,), (second,) = (trainer.validate(model, shapes(), verbose=False) for _ in range(2))
    assert first["val/loss"] > 0
    assert first == second  # the same masks every time
    predictions = trainer.predict(model, shapes())
    assert sum(len(p["features"]) for p in predictions) == 64 + 16
    assert predictions[0]["features"].shape == (16, 48)


def test_a_loader_of_ones_own(tiny_ijepa: Build, quiet_trainer: Build) -> None:
    model = tiny_ijepa()
    dataset = [(torch.rand(3, 32, 32), i % 2) for i in range(32)]
    loader = DataLoader(dataset, batch_size=8, collate_fn=model.pipeline().collate)
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, loader)
    assert trainer.global_step == 4
    with pytest.raises(TypeError, match=r"collate_fn=module\.pipeline"):
        quiet_trainer(max_epochs=1).fit(model, DataLoader(dataset, batch_size=8))


def test_gradient_clipping_and_accumulation_work_as_the_trainer_says(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build
) -> None:
    """Two micro-batches of 8 equal one batch of 16: the loss is a mean over images, and masks have equal sizes."""
    model = tiny_ijepa()
    data = shapes()
    trainer = quiet_trainer(max_steps=1, gradient_clip_val=0.1)
    trainer.fit(model, data)
    norm = torch.stack([p.grad.norm() for p in model.parameters() if p.grad is not None]).norm()
    assert norm <= 0.1 + 1e-6
    batch = next(iter(data.train_dataloader()))
    halves = [
        batch._replace(
            views=[batch.views[0][part]],
            masks=(type(batch.masks[0])(*(m[part] for m in batch.masks[0])),),
        )
        for part in (slice(0, 8), slice(8, 16))
    ]
    whole = model.objective(batch, 0.0).loss
    parts = torch.stack([model.objective(half, 0.0).loss for half in halves]).mean()
    torch.testing.assert_close(whole, parts)
