"""V-JEPA trained: in bare torch, with the Trainer, and from the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from jepa_lightning import VJEPA
from jepa_lightning.cli.main import main
from jepa_lightning.data import PhysicsVideoDataModule
from jepa_lightning.ema import ema_update_
from jepa_lightning.optim import create_optimizer, parameter_groups
from jepa_lightning.types import Batch, Masks

Build = Callable[..., Any]


@pytest.fixture
def physics() -> Build:
    def build(**options: Any) -> PhysicsVideoDataModule:
        defaults = {"num_train": 64, "num_val": 8, "num_frames": 8, "image_size": 32, "batch_size": 8, "num_workers": 0}
        return PhysicsVideoDataModule(**{**defaults, **options})

    return build


def weights(module: nn.Module) -> list[Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss_exponent": 2.0},
        {"rope": True, "causal_frames": (1, 3)},
        {"rope": True, "rope_style": "vjepa2", "content": 0.1},
        {"num_frames": 1},
    ],
)
def test_thirty_bare_steps_lower_the_loss_move_the_target_and_tell_clips_apart(
    tiny_vjepa: Build, clips_of: Build, options: dict[str, Any]
) -> None:
    model = tiny_vjepa(**options)
    batch = clips_of(model, size=16)
    # a color a clip, the next one's the opposite: every part of it tells of the rest
    colors = ((torch.randint(0, 2, (8, 1, 3)) * 4.0 - 2) * torch.tensor([[1.0], [-1.0]])).flatten(0, 1)
    batch = batch._replace(views=[colors.view(16, 3, *[1] * (batch.views[0].ndim - 2)).expand_as(batch.views[0])])
    optimizer = create_optimizer(parameter_groups(dict(model.named_children()), 0.04), "adamw", 3e-3)
    before, losses = weights(model.target_encoder), []
    for step in range(30):
        loss = model.objective(batch, step / 30).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema_update_(model.context_encoder, model.target_encoder, 0.99)
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert not equal(before, weights(model.target_encoder))
    (view,) = batch.views
    own, other = (model.energy(batch._replace(views=[view, each])) for each in (view, view.roll(1, 0)))
    assert own.mean() < 0.9 * other.mean()
    assert model(view).std(dim=0).mean() > 0.05


def test_two_halves_accumulated_are_the_whole_batch_and_with_the_content_term_they_are_not(
    tiny_vjepa: Build, clips_of: Build
) -> None:
    def gradient(model: VJEPA, *parts: slice) -> list[Tensor]:
        batch, trained = clips_of(model, size=16), [p for p in model.parameters() if p.requires_grad]
        (view,), kinds = batch.views, batch.masks
        halves = [Batch([view[s]], tuple(Masks(*(m[s] for m in kind)) for kind in kinds)) for s in parts]
        loss = sum(model.objective(half, 0.0).loss for half in halves) / len(parts)
        return list(torch.autograd.grad(loss, trained))

    whole, halves = (slice(0, 16),), (slice(0, 8), slice(8, 16))
    model = tiny_vjepa(causal_frames=(1, 3))
    for one, other in zip(gradient(model, *whole), gradient(model, *halves), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    model = tiny_vjepa(content=1.0)
    one, other = (torch.cat([g.flatten() for g in gradient(model, *parts)]) for parts in (whole, halves))
    assert (one - other).norm() > 0.01 * one.norm()


def test_ten_steps_equal_five_and_five_resumed_in_the_middle_of_an_epoch(
    tiny_vjepa: Build, physics: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    def run(ckpt: Path | None = None) -> list[Tensor]:
        saver = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=5, save_top_k=-1)
        model = tiny_vjepa(causal_frames=(1, 3), lr=0.01)
        torch.manual_seed(7 if ckpt is None else 99)  # the resumed run continues with the seed of the first
        trainer = quiet_trainer(max_steps=10, enable_checkpointing=True, callbacks=[saver], limit_val_batches=0)
        trainer.fit(model, physics(), ckpt_path=ckpt)  # 8 steps an epoch
        return weights(model)

    whole = run()
    assert equal(whole, run(tmp_path / "step=5.ckpt"))
    five = torch.load(tmp_path / "step=5.ckpt", weights_only=True)["state_dict"]
    assert not equal(whole, list(five.values()))


def test_loads_without_arguments_and_with_weights_only(
    tiny_vjepa: Build, physics: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    model = tiny_vjepa(causal_frames=(1, 2), rope=True, rope_style="vjepa2", loss_exponent=2.0)
    before = weights(model)
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(model, physics())
    assert not equal(before, weights(model))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    saved = torch.load(tmp_path / "run.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["causal_frames"] == (1, 2)
    loaded = VJEPA.load_from_checkpoint(tmp_path / "run.ckpt")
    assert equal(weights(loaded), weights(model))
    assert loaded.hparams == model.hparams
    (first,), (second,) = (quiet_trainer().validate(each, physics(), verbose=False) for each in (model, loaded))
    assert first == second
    assert first["val/loss"] > 0
    predictions = trainer.predict(loaded, physics(num_train=8))
    assert [p["features"].shape for p in predictions] == [(8, 48)] * 2


def test_the_name_alone_runs_it_from_the_command_line(tiny_cli: str, capsys: Any) -> None:
    options = "VJEPA --model.num_frames 8 --model.frame_step 1 --model.min_keep 4 --model.image_size [32,32]"
    options += " --model.num_blocks [4,2] --model.spatial_scale [0.2,0.7] --model.causal_frames [1,2]"
    data = "PhysicsVideoDataModule --data.num_train 32 --data.num_val 16 --data.num_frames 8 --data.image_size 32"
    data += " --data.batch_size 8 --data.num_workers 0 --trainer.max_steps 3"
    main(["fit", "--config", tiny_cli, "--model", *options.split(), "--data", *data.split()])
    seen = capsys.readouterr()
    assert "VJEPA on PhysicsVideoDataModule: 3 steps" in seen.out
    assert "direction" in seen.out  # the probes' table
    path = "logs/VJEPA/version_0/checkpoints/last.ckpt"
    loaded, saved = VJEPA.load_from_checkpoint(path), torch.load(path, weights_only=True)
    assert saved["global_step"] == 3
    assert equal(weights(loaded), [saved["state_dict"][name] for name in loaded.state_dict()])
    assert loaded.num_kinds == len(loaded.pipeline().collate([torch.zeros(3, 8, 32, 32)]).masks) == 3
