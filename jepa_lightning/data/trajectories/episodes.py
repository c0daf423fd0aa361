# E episodes, T frames, C channels, H W height and width, A numbers of an action, S numbers of a state
"""What episodes of any format are to a data set of windows, and the windows."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from jepa_lightning.types import Sample

Ints = NDArray[np.int64]
SHOWN = 3  # names in a message


class Episodes(Protocol):
    """Episodes of one source; frames are read when they are asked for.

    Attributes:
        lengths: number of frames of each episode ``[E]``.
        in_channels: C.
        action_size: A.
        state_size: S, 0 without states.
    """

    lengths: Ints
    in_channels: int
    action_size: int
    state_size: int

    def name(self, episode: int) -> str:
        """What the episode is called, for messages and as the path of its samples."""
        ...

    def frames(self, episode: int, indices: range) -> Tensor:
        """Frames uint8 ``[T, C, H, W]``."""
        ...

    def actions(self, episode: int, steps: range) -> NDArray[np.float32]:
        """Actions ``[len(steps), A]``; the one of the last frame may be NaN."""
        ...

    def states(self, episode: int, indices: range) -> NDArray[np.float32]:
        """States ``[T, S]``."""
        ...


class Windows(Dataset[Sample]):
    """Windows of frames out of episodes, none across the end of one.

    Between two frames lie ``frame_skip`` actions of the environment, all of which are kept, one after the other.

    Args:
        episodes: where they are from.
        chosen: indices of the episodes that are used, each long enough.
        num_frames: T.
        frame_skip: steps of the environment from a frame to the next.
        stride: steps from the start of a window to that of the next one.
    """

    def __init__(self, episodes: Episodes, chosen: Ints, num_frames: int, frame_skip: int, stride: int) -> None:
        self.episodes, self.chosen = episodes, chosen
        self.num_frames, self.frame_skip, self.stride = num_frames, frame_skip, stride
        spare = episodes.lengths[chosen] - span(num_frames, frame_skip)
        self._ends = np.cumsum(spare // stride + 1)

    def __len__(self) -> int:
        """Number of windows."""
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        """Frames uint8 ``[T, C, H, W]`` with actions ``[T - 1, frame_skip * A]`` and states ``[T, S]``.

        A single frame is an image ``[C, H, W]``, labeled with its ``state``.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        place = int(np.searchsorted(self._ends, index, side="right"))
        start = self.stride * (index - (int(self._ends[place - 1]) if place else 0))
        episode, steps = int(self.chosen[place]), (self.num_frames - 1) * self.frame_skip
        frames = range(start, start + steps + 1, self.frame_skip)
        clip, path = self.episodes.frames(episode, frames), f"{self.episodes.name(episode)}@{start}"
        states = torch.from_numpy(self.episodes.states(episode, frames)) if self.episodes.state_size else None
        if self.num_frames == 1:
            return Sample(clip[0], None if states is None else {"state": states[0]}, path)
        actions = torch.from_numpy(self.episodes.actions(episode, range(start, start + steps)))
        extras = {"actions": actions.reshape(self.num_frames - 1, self.frame_skip * self.episodes.action_size)}
        return Sample(clip, None, path, extras if states is None else extras | {"states": states})


def span(num_frames: int, frame_skip: int) -> int:
    """Frames of an episode that a window reaches over."""
    return (num_frames - 1) * frame_skip + 1


def long_enough(episodes: Episodes, frames: int) -> Ints:
    """Indices of the episodes that are long enough; the others are counted and named in a warning.

    Raises:
        ValueError: if there are fewer than two, one to train on and one to validate on.
    """
    kept = np.flatnonzero(episodes.lengths >= frames)
    left = np.flatnonzero(episodes.lengths < frames)
    names = ", ".join(f"{episodes.name(i)} ({episodes.lengths[i]})" for i in left[:SHOWN])
    more = ", ..." if len(left) > SHOWN else ""
    short = f"{len(left)} of {len(episodes.lengths)} episodes have fewer frames than the {frames} of a window"
    if len(kept) < 2:
        raise ValueError(
            f"{len(kept)} of {len(episodes.lengths)} episodes have the {frames} frames of a window, and two are needed,"
            " one to train on and one to validate on: lower num_frames or frame_skip, or record more."
        )
    if len(left):
        warnings.warn(f"{short}, and are left out: {names}{more}.", stacklevel=3)
    return kept


def split(chosen: Ints, val_fraction: float, seed: int) -> tuple[Ints, Ints]:
    """Episodes to train on and to validate on, at least one of each, drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(chosen), generator=generator).numpy()
    taken = min(max(1, round(val_fraction * len(chosen))), len(chosen) - 1)
    return chosen[np.sort(order[taken:])], chosen[np.sort(order[:taken])]


def statistics(rows: Iterator[NDArray[Any]], size: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each column, over all rows that are finite; 1 where a column is constant.

    Args:
        rows: pieces ``[n, size]``.
        size: number of columns.
    """
    count, mean, squares = 0, np.zeros(size), np.zeros(size)
    for piece in rows:
        finite = piece[np.isfinite(piece).all(axis=1)].astype(np.float64)
        if not len(finite):
            continue
        # the sums of two parts from their means (Chan et al.), which loses no digits to large means
        own, total = finite.mean(axis=0), count + len(finite)
        squares += ((finite - own) ** 2).sum(axis=0) + (own - mean) ** 2 * count * len(finite) / total
        mean += (own - mean) * len(finite) / total
        count = total
    deviation = np.sqrt(squares / max(1, count))
    deviation[deviation < 1e-9 * np.maximum(1, np.abs(mean))] = 1.0
    return tuple(mean.tolist()), tuple(deviation.tolist())


def every_action(episodes: Episodes, chosen: Sequence[int] | Ints) -> Iterator[NDArray[Any]]:
    """The actions of each episode in turn."""
    for episode in chosen:
        yield episodes.actions(int(episode), range(int(episodes.lengths[episode])))


def every_state(episodes: Episodes, chosen: Sequence[int] | Ints) -> Iterator[NDArray[Any]]:
    """The states of each episode in turn.

    Raises:
        ValueError: at a number that is infinite; NaN says that a state is not known.
    """
    for episode in map(int, chosen):
        states = episodes.states(episode, range(int(episodes.lengths[episode])))
        bad = np.flatnonzero(np.isinf(states).any(axis=1))
        if len(bad):
            raise ValueError(
                f"{episodes.name(episode)} has an infinite state at step {bad[0]}, {states[bad[0]].tolist()}: write "
                "NaN where a state is not known, or name other columns with states."
            )
        yield states
