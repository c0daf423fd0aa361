import copy
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule

from jepa_lightning.data import ClipSampler, TwoRoomsDataModule, TwoRoomsDataset, masked_video_pipeline
from jepa_lightning.worlds.layouts import layouts_of
from jepa_lightning.worlds.two_rooms import render
from jepa_lightning.worlds.walks import walk


def layout_seen(clip: torch.Tensor) -> tuple[int, int]:
    """Column of the wall and row of the door, read from the picture."""
    walls = clip[0, 1] == 255
    inside = walls[5:60, 5:60]
    columns = inside.any(dim=0).nonzero().flatten() + 5
    rows = (~inside[:, columns[1] - 5]).nonzero().flatten() + 5
    return int(columns.float().mean()), int(rows.float().mean())


def test_states_are_where_the_dot_is_and_actions_lead_from_each_to_the_next() -> None:
    dataset = TwoRoomsDataset(60, num_frames=9)
    places = torch.arange(65.0)
    moved = []
    for clip, _, _, extras in dataset:
        dots = clip[:, 0].float()
        total = dots.sum(dim=(1, 2))
        seen = (
            torch.stack([(dots.sum(dim=1) * places).sum(1), (dots.sum(dim=2) * places).sum(1)], dim=1) / total[:, None]
        )
        torch.testing.assert_close(seen, extras["states"], atol=0.1, rtol=0)
        steps = extras["states"].diff(dim=0)
        assert steps.shape == extras["actions"].shape
        moved.append((steps - extras["actions"]).abs().amax(dim=1) < 1e-4)
    assert torch.cat(moved).float().mean() > 0.6, "most steps meet no wall"


def test_windows_follow_from_seed_and_index_and_those_of_a_walk_do_not_overlap() -> None:
    small, large = TwoRoomsDataset(7, num_frames=17), TwoRoomsDataset(12, num_frames=17)
    for i in range(7):
        assert torch.equal(small[i].media, large[i].media)
        assert torch.equal(small[i].extras["actions"], large[i].extras["actions"])
    other = TwoRoomsDataset(7, num_frames=17, seed=1)
    assert not torch.equal(small[0].media, other[0].media)
    assert layout_seen(large[0].media) == layout_seen(large[4].media)  # 5 windows of 17 frames make a walk of 91
    # the step between two windows is as long as any
    gap = large[1].extras["states"][0] - large[0].extras["states"][-1]
    assert 0 < gap.norm() < 2.45
    with pytest.raises(IndexError):
        small[7]
    with pytest.raises(IndexError):
        small[-1]


def test_layouts_of_training_and_validation_have_none_in_common_with_the_test() -> None:
    data = TwoRoomsDataModule(num_train=300, num_val=300, num_frames=30)
    data.setup()
    test = {tuple(row) for row in layouts_of("test").tolist()}
    train, val = ({layout_seen(sample.media) for sample in part} for part in (data.train_set, data.val_set))
    assert len(train) > 60
    assert len(val) > 40
    assert not train & val
    assert not (train | val) & test
    assert train <= {tuple(row) for row in layouts_of("train").tolist()}


def test_fixed_layouts_have_other_walks_for_validation() -> None:
    data = TwoRoomsDataModule(num_train=4, num_val=4, num_frames=91, layouts="fixed")
    data.setup()
    assert {layout_seen(sample.media) for part in (data.train_set, data.val_set) for sample in part} == {(32, 18)}
    starts = [tuple(sample.extras["states"][0].tolist()) for part in (data.train_set, data.val_set) for sample in part]
    assert len(set(starts)) == 8


def test_longer_windows_and_single_frames() -> None:
    clip, _, _, extras = TwoRoomsDataset(2, num_frames=100)[1]
    assert (len(clip), len(extras["actions"]), len(extras["states"])) == (100, 99, 100)
    dataset = TwoRoomsDataset(95, num_frames=1)
    image, labels, _, none = dataset[94]
    assert (image.shape, none) == ((2, 65, 65), None)
    x, y = labels["position"]
    wall, door = layout_seen(image[None])
    expected = render(np.array([[x, y]], np.float64), np.array([wall]), np.array([door]))[0]
    np.testing.assert_array_equal(image.numpy(), expected)


class Learner(LightningModule):
    """Takes clips and actions."""

    in_channels, has_own_statistics = 2, False

    def __init__(self, skip: int = 1) -> None:
        super().__init__()
        self.weight = torch.nn.Linear(1, 1)
        self.taken: list[Any] = []
        self.seen: list[Any] = []
        self.mean: Any = (0.5, 0.5)
        self.std: Any = (0.5, 0.5)
        self.skip = skip

    def take_statistics(self, mean: Any, std: Any) -> None:
        self.mean, self.std = mean, std

    def take_actions(self, size: int, mean: Any, std: Any, frame_skip: int) -> None:
        assert frame_skip == 1
        self.taken.append((size, mean, std))

    def take_states(self, mean: Any, std: Any) -> None:
        self.states = mean, std

    def pipeline(self) -> Any:
        options = {"mean": self.mean, "std": self.std, "crop_scale": (1.0, 1.0), "crop_ratio": (1.0, 1.0), "flip": 0.0}
        return masked_video_pipeline((65, 65), ClipSampler(5, self.skip), (), **options)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen.append(copy.deepcopy(batch))
        return self.weight(torch.ones(1)).sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0)


@pytest.mark.parametrize("skip", [1, 2])
def test_a_module_gets_clips_actions_and_their_statistics(quiet_trainer: Any, skip: int) -> None:
    data = TwoRoomsDataModule(num_train=8, num_val=4, num_frames=9, batch_size=4, num_workers=0)
    module = Learner(skip)
    quiet_trainer(max_steps=2).fit(module, datamodule=data)
    assert module.taken[0] == (2, (0.0, 0.0), (1.0, 1.0))
    assert module.mean == (0.0026, 0.0989)
    batch = module.seen[0]
    assert batch.views[0].shape == (4, 2, 5, 65, 65)
    assert batch.extras["states"].shape == (4, 5, 2)
    assert batch.extras["actions"].shape == (4, 4, 2 * skip)
    walls = batch.views[0][:, 1]
    torch.testing.assert_close(walls.unique(), torch.tensor([-0.0989, 1 - 0.0989]) / 0.2986)


def test_statistics_are_the_published_ones_of_the_data_within_what_noise_there_is() -> None:
    """The walls' exactly, positions to a pixel: the reference's agents start and bounce a little otherwise."""
    clips = torch.stack([sample.media for sample in TwoRoomsDataset(600, num_frames=1)]).double() / 255
    torch.testing.assert_close(clips[:, 1].mean(), torch.tensor(0.0989).double(), atol=5e-5, rtol=0)
    torch.testing.assert_close(clips[:, 0].mean(), torch.tensor(0.0026).double(), atol=2e-4, rtol=0)
    states = torch.from_numpy(walk(0, 0, 2048, 91, "train").positions).flatten(0, 1)
    assert ((states.mean(0) - torch.tensor(TwoRoomsDataModule.state_mean)).abs() < 0.7).all()
    assert ((states.std(0) - torch.tensor(TwoRoomsDataModule.state_std)).abs() < 1.2).all()


def test_own_statistics_and_pipelines() -> None:
    pipeline = Learner().pipeline()
    assert TwoRoomsDataModule(pipeline=pipeline).mean is None
    assert TwoRoomsDataModule(mean=None, std=None).in_channels == 2
    with pytest.raises(ValueError, match="in_channels is 3, and mean and std have 2 numbers"):
        TwoRoomsDataModule(in_channels=3)
    with pytest.raises(ValueError, match="num_frames=0 is out of range"):
        TwoRoomsDataModule(num_frames=0)


def test_images_methods_are_told_to_take_clips(tiny_ijepa: Any, quiet_trainer: Any) -> None:
    data = TwoRoomsDataModule(num_train=8, num_val=4, batch_size=4, num_workers=0, mean=None, std=None)
    module = tiny_ijepa(in_channels=2)
    with pytest.raises(TypeError, match=r"the samples have extras .* use a method for clips, such as WorldModel"):
        quiet_trainer(max_steps=1).fit(module, datamodule=data)


def test_frames_that_are_skipped_leave_all_actions_between() -> None:
    """Windows of 5 frames, 4 steps apart, span those of 17 frames."""
    plain, skipped = TwoRoomsDataset(6, num_frames=17), TwoRoomsDataset(6, num_frames=5, frame_skip=4)
    for i in range(6):
        assert torch.equal(skipped[i].media, plain[i].media[::4])
        assert torch.equal(skipped[i].extras["states"], plain[i].extras["states"][::4])
        assert skipped[i].extras["actions"].shape == (4, 8)
        assert torch.equal(skipped[i].extras["actions"].view(16, 2), plain[i].extras["actions"])
    data = TwoRoomsDataModule(num_train=8, num_val=4, num_frames=5, frame_skip=4)
    data.setup()
    assert (data.action_size, len(data.action_mean), len(data.action_std)) == (8, 8, 8)
    assert data.val_set[0].extras["actions"].shape == (4, 8)
