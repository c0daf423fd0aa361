from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule
from torch.utils.data import Dataset

from jepa_lightning import WorldModel
from jepa_lightning.data.trajectories.base import TrajectoriesDataModule
from jepa_lightning.types import Sample


class Clips(Dataset[Sample]):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> Sample:
        generator = torch.Generator().manual_seed(index)
        clip = torch.randint(0, 256, (3, 2, 8, 8), dtype=torch.uint8, generator=generator)
        return Sample(clip, extras={"actions": torch.randn(2, 4, generator=generator)})


class Trajectories(TrajectoriesDataModule):
    """Actions of four numbers, two for each step of the environment, and one state."""

    action_size, action_mean, action_std = 4, (1.0, 2.0, 1.0, 2.0), (3.0, 4.0, 3.0, 4.0)
    frame_skip, state_size, state_mean, state_std = 2, 1, (5.0,), (6.0,)

    def build_datasets(self) -> Any:
        return Clips(), Clips()


@pytest.fixture
def tiny_world() -> Any:
    def build(**options: Any) -> WorldModel:
        sizes = {"width": 8, "image_size": 8, "num_frames": 3, "rollout_steps": 2, "inverse_hidden": 4}
        return WorldModel(**{**sizes, "action_size": 4, **options})

    return build


def test_a_module_takes_what_the_data_say_of_actions_and_states(tiny_world: Any, quiet_trainer: Any) -> None:
    module = tiny_world()
    quiet_trainer(max_steps=1, num_sanity_val_steps=0).fit(module, datamodule=Trajectories(in_channels=2, batch_size=4))
    assert module.actions.mean.tolist() == [1, 2, 1, 2]
    assert module.actions.std.tolist() == [3, 4, 3, 4]
    assert (module.frame_skip, module.state_mean, module.state_std) == (2, (5.0,), (6.0,))


def test_actions_of_another_size_are_refused_before_the_first_step(tiny_world: Any, quiet_trainer: Any) -> None:
    data = Trajectories(in_channels=2, batch_size=4)
    with pytest.raises(ValueError, match="the data has actions of 4 numbers, and WorldModel has action_size=2"):
        quiet_trainer(max_steps=1).fit(tiny_world(action_size=2), datamodule=data)


def test_a_module_that_takes_no_actions_is_not_asked(quiet_trainer: Any) -> None:
    class Blind(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.seen: list[Any] = []

        def pipeline(self) -> Any:
            return WorldModel(width=8, image_size=8, num_frames=3, rollout_steps=2, action_size=4).pipeline()

        def training_step(self, batch: Any, index: int) -> Any:
            self.seen.append(batch)
            return self.weight.square()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module, data = Blind(), Trajectories(in_channels=2, batch_size=4)
    quiet_trainer(max_steps=1).fit(module, datamodule=data)
    assert module.seen[0].extras["actions"].shape == (4, 2, 4)
    assert data.num_classes == 0
