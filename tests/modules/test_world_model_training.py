"""World models trained: in bare torch, with the Trainer, its checkpoints and callbacks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from jepa_lightning import WorldModel
from jepa_lightning.callbacks import CollapseMonitor, FeatureWriter
from jepa_lightning.data import JEPADataModule
from jepa_lightning.optim import create_optimizer, parameter_groups

Build = Callable[..., Any]


class Squares(JEPADataModule):
    """Trajectories of the fixture, through the pipeline of the module in training."""

    num_classes: ClassVar[dict[str, int]] = {}

    def __init__(self, trajectories: Build) -> None:
        super().__init__(batch_size=8, num_workers=0)
        self.samples = trajectories(size=40)

    def build_datasets(self) -> Any:
        return self.samples[:32], self.samples[32:]


def weights(module: nn.Module) -> list[Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_bare_steps_lower_the_loss_and_the_true_actions_explain_best(tiny_world: Build, world_batch: Build) -> None:
    model = tiny_world(width=32, similarity=1.0, inverse=10.0, action_std=[2.0, 2.0])
    batch = world_batch(model)
    optimizer = create_optimizer(parameter_groups(dict(model.named_children()), 1e-5), "adamw", 3e-3)
    losses = []
    for step in range(50):
        loss = model.objective(batch, step / 50).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    model.eval()
    true = model.energy(batch).mean()
    other = model.energy(batch._replace(extras={"actions": batch.extras["actions"].roll(1, 0)})).mean()
    assert true < 0.8 * other
    assert model(batch.views[0]).std(dim=0).mean() > 0.05


def test_two_halves_are_not_the_whole_batch_unless_it_is_frozen(every_world: Build, world_batch: Build) -> None:
    model = every_world().eval()
    batch = world_batch(model)
    second = batch._replace(views=[batch.views[0][8:]], extras={"actions": batch.extras["actions"][8:]})
    whole, *halves = (model.objective(each, 0.0).loss for each in (batch, batch.take(8), second))
    assert torch.allclose(whole, sum(halves) / 2, rtol=1e-4) == (model.terms is None)


def test_four_steps_equal_two_and_two_resumed(
    every_world: Build, trajectories: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    def run(ckpt: Path | None = None) -> list[Tensor]:
        saver = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1)
        torch.manual_seed(0)
        model = every_world(**({} if every_world.args[0] in ("gru", "mlp") else {"dropout": 0.1}))
        torch.manual_seed(7 if ckpt is None else 99)  # the resumed run continues with the seed of the first
        trainer = quiet_trainer(max_steps=4, enable_checkpointing=True, callbacks=[saver], limit_val_batches=0)
        trainer.fit(model, Squares(trajectories), ckpt_path=ckpt)
        return weights(model)

    assert equal(run(), run(tmp_path / "step=2.ckpt"))


def test_loads_without_arguments_and_with_weights_only(
    every_world: Build, trajectories: Build, quiet_trainer: Build, world_batch: Build, tmp_path: Path
) -> None:
    model = every_world()
    model.take_actions(2, (0.5, -0.5), (2.0, 3.0))
    model.take_states((10.0, -1.0), (4.0, 0.5))
    before, trainer = weights(model), quiet_trainer(max_steps=2)
    trainer.fit(model, Squares(trajectories))
    assert not equal(before, weights(model))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    assert torch.load(tmp_path / "run.ckpt", weights_only=True)["hyper_parameters"]["action_std"] == [2.0, 3.0]
    loaded = WorldModel.load_from_checkpoint(tmp_path / "run.ckpt").eval()
    assert loaded.hparams == model.hparams
    assert (loaded.state_mean, loaded.state_std) == ((10.0, -1.0), (4.0, 0.5))
    batch = world_batch(model)
    assert torch.equal(loaded.energy(batch), model.eval().energy(batch))


def test_monitor_and_feature_writer_take_it(
    every_world: Build, trajectories: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    model, monitor = every_world(), CollapseMonitor(every_n_steps=1, num_samples=8, memory=16)
    trainer = quiet_trainer(max_steps=4, callbacks=[monitor])
    trainer.fit(model, Squares(trajectories))
    logged = trainer.callback_metrics
    assert {"val/loss", "val/prediction"} <= set(logged)
    for name in ("energy", "energy_gap", "action_gap", "energy_blind", "rank", "content_share"):
        assert logged[f"collapse/{name}"].isfinite(), name
    assert logged["collapse/action_gap"].abs() < 1
    path = tmp_path / "features.npz"
    quiet_trainer(callbacks=[FeatureWriter(path, tokens=True)]).predict(model, Squares(trajectories))
    found = np.load(path)
    tokens = 5 * (16 if model.predictor_name == "tokens" else 1)
    assert found["features"].shape == (40, 24)
    assert found["tokens"].shape == (40, tokens, 24)
    assert found["extras/states"].shape == (40, 5, 2)


@pytest.mark.parametrize("options", [{}, {"predictor": "adaln", "predictor_depth": 1, "predictor_heads": 1}])
def test_it_trains_in_bfloat16(tiny_world: Build, trajectories: Build, quiet_trainer: Build, options: Any) -> None:
    model = tiny_world(**options)
    trainer = quiet_trainer(max_steps=2, precision="bf16-mixed", limit_val_batches=1)
    trainer.fit(model, Squares(trajectories))
    assert trainer.callback_metrics["train/loss"].isfinite()
