"""Trajectories from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jepa_lightning.data.trajectories.base import TrajectoriesDataModule
from jepa_lightning.data.trajectories.episodes import (
    Episodes,
    Ints,
    Windows,
    every_action,
    every_state,
    long_enough,
    span,
    split,
    statistics,
)
from jepa_lightning.data.trajectories.hdf5 import Hdf5Episodes
from jepa_lightning.data.trajectories.lerobot import LeRobotEpisodes
from jepa_lightning.data.trajectories.minari import PREFIX, MinariEpisodes
from jepa_lightning.options import OpenShare, PositiveInt, Seed, check_options


class TrajectoryDataModule(TrajectoriesDataModule):
    """Windows of recorded episodes, with the actions between their frames.

    Reads the HDF5 layout of stable-worldmodel (arXiv 2605.21800), which ``jepa-lightning collect`` writes: ``pixels``
    uint8 ``[N, H, W, C]``, ``action`` ``[N, A]``, ``ep_len`` ``[E]`` and states under any names (extra ``worlds``); and
    folders of LeRobot, versions 2.1 and 3, with films (extra ``lerobot``); and data sets of Minari that have images and
    lie on this machine (``pip install 'minari[hdf5]'``).

    A window never crosses the end of an episode, and episodes that are shorter than one are left out with a warning.
    With a frame skip all actions between two frames are kept, one after the other, so that there are ``frame_skip``
    times as many numbers. Whole episodes are set apart for validation.

    Args:
        path: the file, or the folder of LeRobot, or ``minari:NAME``.
        num_frames: T, frames of a window, history and future together; 1 gives images with the label ``state``.
        frame_skip: steps of the environment from a frame to the next.
        stride: steps from the start of a window to that of the next one.
        states: names of the columns that make a state, one after the other; None takes ``state``, or in a
            folder ``observation.state``, where there is one, and of Minari all observations that are no images.
        camera: name of the films in a folder, such as ``observation.images.top``; None takes the only one.
        val_fraction: share of the episodes for validation.
        seed: of the split.
        options: of `JEPADataModule`.

    Raises:
        FileNotFoundError: in ``setup``, if there is no such file or folder.
        ValueError: in ``setup``, if it is not of this layout, or has too few episodes.

    Example:
        >>> import h5py, numpy as np, tempfile
        >>> from pathlib import Path
        >>> from jepa_lightning.data import TrajectoryDataModule
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name) / "episodes.h5"
        >>> with h5py.File(path, "w") as file:
        ...     file["pixels"] = np.zeros((20, 16, 16, 3), np.uint8)
        ...     file["action"] = np.random.randn(20, 2)
        ...     file["ep_len"] = [10, 10]
        >>> data = TrajectoryDataModule(path, num_frames=4, frame_skip=2)
        >>> data.setup()
        >>> data.num_samples, data.action_size  # starts 0 to 3 in one episode, and two actions of 2 numbers a frame
        (4, 4)
    """

    def __init__(
        self,
        path: str | Path,
        num_frames: PositiveInt = 17,
        frame_skip: PositiveInt = 1,
        stride: PositiveInt = 1,
        states: Sequence[str] | None = None,
        camera: str | None = None,
        val_fraction: OpenShare = 0.1,
        seed: Seed = 0,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(**options)
        self.path, self.states, self.camera = Path(path).expanduser(), states, camera
        self.num_frames, self.frame_skip, self.stride = num_frames, frame_skip, stride
        self.val_fraction, self.seed = val_fraction, seed

    def build_datasets(self) -> tuple[Windows, Windows]:
        """Finds the episodes, splits them, and takes the statistics of those for training."""
        episodes = self._open()
        if self.in_channels not in (None, episodes.in_channels):
            raise ValueError(
                f"{self.path} has frames of {episodes.in_channels} channels, and in_channels, mean and std of "
                f"{type(self).__name__} are for {self.in_channels}: set them to those of the frames."
            )
        self.in_channels = episodes.in_channels
        parts = split(long_enough(episodes, span(self.num_frames, self.frame_skip)), self.val_fraction, self.seed)
        self._take_statistics(episodes, *parts)
        train, val = (Windows(episodes, part, self.num_frames, self.frame_skip, self.stride) for part in parts)
        return train, val

    def _open(self) -> Episodes:
        if self.path.is_dir():
            return LeRobotEpisodes(self.path, self.camera, self.states)
        if self.camera is not None:
            raise ValueError(f"{self.path} is no folder of LeRobot, and has frames of one camera: leave out camera.")
        if str(self.path).startswith(PREFIX):
            return MinariEpisodes(str(self.path).removeprefix(PREFIX), self.states)
        return Hdf5Episodes(self.path, self.states)

    def _take_statistics(self, episodes: Episodes, train: Ints, val: Ints) -> None:
        mean, std = statistics(every_action(episodes, train), episodes.action_size)
        self.action_size = episodes.action_size * self.frame_skip
        self.action_mean, self.action_std = mean * self.frame_skip, std * self.frame_skip
        self.state_size = episodes.state_size
        if self.state_size:
            self.state_mean, self.state_std = statistics(every_state(episodes, train), self.state_size)
            for _ in every_state(episodes, val):  # of these only the check is wanted
                pass
