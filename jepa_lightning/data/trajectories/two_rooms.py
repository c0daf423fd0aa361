# T frames, C channels, H W height and width
"""Walks through two rooms, made on the fly."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from jepa_lightning.data.trajectories.base import TrajectoriesDataModule
from jepa_lightning.options import FiniteFloat, PositiveFloat, PositiveInt, Seed, Share, check_options
from jepa_lightning.types import Sample
from jepa_lightning.worlds.layouts import Layouts
from jepa_lightning.worlds.two_rooms import render_dots, render_walls
from jepa_lightning.worlds.walks import walk

VAL_OFFSET = 1 << 30  # far from any walk to train on: the walks of validation do not depend on num_train
WALK = 91  # frames of a walk, from which windows are cut
# EB-JEPA (arXiv 2602.03604): of the two channels on 0 to 1, and of positions in pixels
MEAN, STD = (0.0026, 0.0989), (0.0369, 0.2986)
POSITION_MEAN, POSITION_STD = (31.5863, 32.0618), (16.1025, 16.1353)


class TwoRoomsDataset(Dataset[Sample]):
    """Windows of walks through two rooms; each follows from (seed, index) alone.

    Source: EB-JEPA (arXiv 2602.03604). Walks have 91 frames, and windows of one do not overlap. Headings change by
    von Mises steps of concentration 5, lengths are 1 +- 0.4 pixels within 0.2 to 1.8, and 35 % of the walks pass the
    door. Actions are displacements in pixels, states are positions (x, y) in pixels.

    Args:
        size: number of windows.
        num_frames: T; with a single frame the samples are images, labeled with their ``position``.
        frame_skip: F, steps of the walk from one frame to the next, whose actions stand one after the other,
            ``[T - 1, 2 F]``.
        seed: another one gives other walks.
        layouts: which walls and doors there are: "train", "val" or "test", which have none in common; "all", or
            "fixed".
        offset: index of the first walk.
        straight: share of walks that keep heading and speed for 32 steps at a time; the paper has none.

    Example:
        >>> from jepa_lightning.data import TwoRoomsDataset
        >>> clip, _, _, extras = TwoRoomsDataset(10, num_frames=4)[0]
        >>> clip.shape, extras["actions"].shape, extras["states"].shape
        (torch.Size([4, 2, 65, 65]), torch.Size([3, 2]), torch.Size([4, 2]))
    """

    def __init__(
        self,
        size: int,
        num_frames: int = 17,
        seed: int = 0,
        layouts: Layouts = "train",
        offset: int = 0,
        frame_skip: int = 1,
        straight: float = 0.0,
    ) -> None:
        self.size, self.num_frames, self.frame_skip = size, num_frames, frame_skip
        self._span = (num_frames - 1) * frame_skip + 1  # of a window
        self._windows = max(1, WALK // self._span)  # of a walk
        self._walks = walk(seed, offset, -(-size // self._windows), max(WALK, self._span), layouts, straight)

    def __len__(self) -> int:
        """Number of windows."""
        return self.size

    def __getitem__(self, index: int) -> Sample:
        """Frames uint8 ``[T, 2, 65, 65]`` with actions and states; of a single one ``[2, 65, 65]`` with a label."""
        if not 0 <= index < self.size:
            raise IndexError(f"window {index} of {self.size}")
        number, window = divmod(index, self._windows)
        steps = slice(window * self._span, (window + 1) * self._span)
        positions = self._walks.positions[number, steps][:: self.frame_skip]
        walls = render_walls(self._walks.walls[number, None], self._walks.doors[number, None])  # the same in all frames
        dots = render_dots(positions.astype(np.float64))
        clip = torch.from_numpy(np.stack([dots, np.broadcast_to(walls, dots.shape)], axis=1))
        if self.num_frames == 1:
            return Sample(clip[0], {"position": positions[0].copy()})
        actions = self._walks.actions[number, steps][: self._span - 1].reshape(self.num_frames - 1, -1)
        extras = {"actions": torch.tensor(actions), "states": torch.tensor(positions)}
        return Sample(clip, extras=extras)


class TwoRoomsDataModule(TrajectoriesDataModule):
    """Walks through two rooms as they are made, without files; what to learn a world model of.

    Images have two channels, the agent and the walls. Walls and doors of training, of validation and of the
    environment ``jepa_lightning/TwoRooms-v0`` have none in common. Actions keep their unit: their mean is given as 0
    and their deviation as 1.

    Args:
        num_train: windows to train on.
        num_val: windows to validate on; the same ones whatever num_train is.
        num_frames: T, of each window; 1 gives images with the label ``position``.
        frame_skip: F, steps of the walk from one frame to the next; an action then has 2 F numbers.
        seed: another one gives other walks.
        straight: share of walks that keep heading and speed for 32 steps at a time. Their steps are of all lengths, and
            they run against walls for long, as plans do; the paper has none.
        layouts: "random" walls and doors, or "fixed" ones.
        in_channels: channels that the module must have, which are the agent and the walls.
        mean: of each channel, on values of 0 to 1; None leaves it to the module.
        std: of each channel.
        options: of `JEPADataModule`.

    Example:
        >>> from jepa_lightning.data import TwoRoomsDataModule
        >>> data = TwoRoomsDataModule(num_train=64, num_val=16, batch_size=8)
        >>> data.in_channels, data.action_size, data.state_size
        (2, 2, 2)
    """

    state_size = 2
    state_mean = POSITION_MEAN
    state_std = POSITION_STD

    def __init__(
        self,
        num_train: PositiveInt = 100_000,
        num_val: PositiveInt = 10_000,
        num_frames: PositiveInt = 17,
        frame_skip: PositiveInt = 1,
        seed: Seed = 0,
        straight: Share = 0.0,
        layouts: Literal["random", "fixed"] = "random",
        in_channels: PositiveInt | None = 2,
        mean: Sequence[FiniteFloat] | None = MEAN,
        std: Sequence[PositiveFloat] | None = STD,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        if options.get("pipeline") is not None and (mean, std) == (MEAN, STD):
            mean = std = None  # it has its own
        super().__init__(in_channels=in_channels, mean=mean, std=std, **options)
        self.num_train, self.num_val, self.num_frames, self.frame_skip = num_train, num_val, num_frames, frame_skip
        self.action_size = 2 * frame_skip
        self.action_mean, self.action_std = (0.0,) * self.action_size, (1.0,) * self.action_size
        self.seed, self.straight, self.layouts = seed, straight, layouts

    def build_datasets(self) -> tuple[TwoRoomsDataset, TwoRoomsDataset]:
        """Walks in layouts for training, and others for validation, in other layouts unless these are fixed."""
        shared: dict[str, Any] = {
            "num_frames": self.num_frames, "seed": self.seed, "frame_skip": self.frame_skip, "straight": self.straight,
        }  # fmt: skip
        train: Layouts
        val: Layouts
        train, val = ("fixed", "fixed") if self.layouts == "fixed" else ("train", "val")
        return (
            TwoRoomsDataset(self.num_train, layouts=train, **shared),
            TwoRoomsDataset(self.num_val, layouts=val, offset=VAL_OFFSET, **shared),
        )
