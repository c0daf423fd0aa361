from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from jepa_lightning.callbacks import RolloutPictures
from jepa_lightning.types import Batch


class Shifts(LightningModule):
    """A module that sees the column of a bright bar, and knows that an action moves it."""

    mean, std = (0.0,), (1.0,)

    def __init__(self, knows: bool = True) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.knows = knows

    def encode(self, clip: Tensor) -> Tensor:
        return clip[:, 0, :, 0]  # [B, T, 8]

    def rollout(self, history: Tensor, actions: Tensor) -> Tensor:
        places = history[:, -1].argmax(dim=-1, keepdim=True) + actions[..., 0].cumsum(dim=1).long() * self.knows
        return torch.nn.functional.one_hot(places % 8, 8).float()

    def forward(self, x: Tensor, pool: bool = True) -> Tensor:
        return self.encode(x)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch: Batch, index: int) -> dict[str, Tensor]:
        return {"loss": self.weight.square(), "tokens": self.encode(batch.views[0])}

    def validation_step(self, batch: Batch, index: int) -> dict[str, Tensor]:
        return self.training_step(batch, index)


def batches(number: int, seed: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(number):
        start = torch.randint(8, (8, 1), generator=generator)
        actions = torch.randint(1, 4, (8, 3, 1), generator=generator)
        places = torch.cat([start, start + actions[..., 0].cumsum(dim=1)], dim=1) % 8
        bars = torch.nn.functional.one_hot(places, 8).float()[:, None, :, None].expand(-1, 1, -1, 8, -1)
        found.append(Batch([bars], extras={"actions": actions.float()}))
    return found


def run(quiet_trainer: Any, callback: RolloutPictures, module: LightningModule, steps: int = 96) -> Any:
    torch.manual_seed(0)
    loaders = (DataLoader(part, batch_size=None) for part in (batches(steps, 0), batches(1, 1)))
    trainer = quiet_trainer(callbacks=[callback], max_steps=steps, num_sanity_val_steps=0)
    trainer.fit(module, *loaders)
    return trainer


class Kept(RolloutPictures):
    """Keeps what the last picture shows."""

    def draw(self, found: Any, step: int) -> Any:
        self.found = {name: panels.float() for name, panels in found.items()}
        return super().draw(found, step)


@pytest.mark.parametrize("knows", [True, False])
def test_a_rollout_is_drawn_as_well_as_it_is_foreseen(quiet_trainer: Any, pictures: Any, knows: bool) -> None:
    callback = Kept(every_n_steps=64, num_images=3, lr=1e-2)
    run(quiet_trainer, callback, Shifts(knows))
    assert pictures() == ["step_000064/rollouts.png", "step_000096/rollouts.png"]
    rows = callback.found
    assert {name: panels.shape for name, panels in rows.items()} == dict.fromkeys(
        ("frames", "rollout", "decoded"), (3, 4, 3, 8, 8)
    )
    errors = {name: (rows[name] - rows["frames"]).abs().mean(dim=(0, 2, 3, 4)) for name in ("rollout", "decoded")}
    assert errors["decoded"].max() < 16  # of 255; a bar at a wrong place is 64 off
    assert errors["rollout"][0] < 16  # the first frame is seen
    assert bool((errors["rollout"][1:] < 16).all()) is knows
    assert errors["rollout"][1:].min() > 40 or knows


def test_training_is_the_same_with_it(tiny_world: Any, rooms: Any, quiet_trainer: Any, pictures: Any) -> None:
    weights = []
    for callbacks in ([RolloutPictures(2, num_images=1)], []):
        module = tiny_world()
        torch.manual_seed(0)
        quiet_trainer(callbacks=callbacks, max_epochs=1, num_sanity_val_steps=0).fit(module, datamodule=rooms())
        weights.append(module.state_dict())
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert pictures() == ["step_000002/rollouts.png"]


def test_the_decoder_resumes(quiet_trainer: Any, tmp_path: Any) -> None:
    whole, first, again = (RolloutPictures(10) for _ in range(3))
    run(quiet_trainer, whole, Shifts(), steps=6)
    train = batches(6, 0)
    for callback, steps, path in ((first, 3, None), (again, 6, tmp_path / "third.ckpt")):
        trainer = quiet_trainer(callbacks=[callback], max_steps=steps, num_sanity_val_steps=0)
        part = DataLoader(train if path is None else train[3:], batch_size=None)
        torch.manual_seed(0)
        trainer.fit(Shifts(), part, DataLoader(batches(1, 1), batch_size=None), ckpt_path=path)
        trainer.save_checkpoint(tmp_path / "third.ckpt")
    torch.testing.assert_close(again.state_dict()["probe"]["heads"], whole.state_dict()["probe"]["heads"])


def test_other_modules_end_in_one_warning(fit: Any, pictures: Any, recwarn: Any) -> None:
    fit(RolloutPictures())
    told = [str(each.message) for each in recwarn if "RolloutPictures" in str(each.message)]
    assert told == [
        "RolloutPictures: IJEPA has no encode and no rollout, as a WorldModel has. It draws nothing from here on."
    ]
    assert pictures() == []


def test_batches_without_actions_end_in_one_warning(quiet_trainer: Any, recwarn: Any) -> None:
    val = [batch._replace(extras={}) for batch in batches(1, 1)]
    trainer = quiet_trainer(callbacks=[RolloutPictures()], max_steps=1, num_sanity_val_steps=0)
    trainer.fit(Shifts(), DataLoader(batches(2, 0), batch_size=None), DataLoader(val, batch_size=None))
    (told,) = [str(each.message) for each in recwarn if "RolloutPictures" in str(each.message)]
    assert "the validation batches have no extras['actions']: use a DataModule of trajectories" in told
