# E episodes, T frames, S numbers of a state
"""Episodes of a Minari data set by its name, as it lies on this machine; nothing is downloaded."""

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jepa_lightning.data.trajectories.episodes import Ints

PREFIX = "minari:"
KEPT = 4  # episodes in memory


class MinariEpisodes:
    """Episodes of one data set, with images among its observations. An episode is read as a whole.

    Args:
        name: of the data set, such as ``D4RL/door/human-v2``.
        states: names of the observations that make a state; None takes all that are no images.

    Raises:
        ImportError: if Minari is not installed.
        ValueError: if the data set is not on this machine, or has no images, or an action that is not finite.
    """

    def __init__(self, name: str, states: Sequence[str] | None = None) -> None:
        if importlib.util.find_spec("minari") is None:
            raise ImportError("Minari data sets need minari: pip install 'minari[hdf5]'", name="minari")
        self._name = name
        self._kept: dict[int, Any] = {}
        self._process, self._opened = -1, None
        data = self._data()
        from gymnasium import spaces

        from jepa_lightning.worlds.images import image_key

        key = image_key(data.observation_space)
        if key is None:
            raise self._fault(f"has no images among its observations, {' '.join(str(data.observation_space).split())}")
        if not isinstance(data.action_space, spaces.Box) or len(data.action_space.shape) != 1:
            raise self._fault(f"has actions {data.action_space}, and those of a world model are vectors (Box)")
        entries = {} if key == "" else dict(data.observation_space.spaces)
        names = sorted(entries.keys() - {key}) if states is None else list(states)
        if unknown := [each for each in names if each not in entries or each == key]:
            raise self._fault(f"has no observation {unknown[0]!r} beside its images, only {', '.join(sorted(entries))}")
        self._key, self._states = key, names
        self._ids = [int(each) for each in data.episode_indices]
        found = data.storage.get_episode_metadata(self._ids)
        self.lengths: Ints = np.array([int(each["total_steps"]) + 1 for each in found])
        image = data.observation_space if key == "" else entries[key]
        self.in_channels = (*image.shape, 1)[2]
        self.action_size = data.action_space.shape[0]
        self.state_size = sum(int(np.prod(entries[each].shape)) for each in names)
        for episode in range(len(self._ids)):
            if not np.isfinite(actions := self.actions(episode, range(int(self.lengths[episode]) - 1))).all():
                step = int(np.flatnonzero(~np.isfinite(actions).all(axis=1))[0])
                raise self._fault(f"has an action that is not finite, at step {step} of episode {self._ids[episode]}")

    def name(self, episode: int) -> str:
        """Name of the data set and number of the episode."""
        return f"{self._name}:{self._ids[episode]}"

    def frames(self, episode: int, indices: range) -> Tensor:
        """Frames uint8 ``[T, C, H, W]``."""
        seen = self._episode(episode).observations
        images = np.asarray(seen if self._key == "" else seen[self._key])[indices.start : indices.stop : indices.step]
        images = images[..., None] if images.ndim == 3 else images
        return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).contiguous()

    def actions(self, episode: int, steps: range) -> NDArray[np.float32]:
        """Actions ``[len(steps), A]``, of which there is one less than frames."""
        return np.asarray(self._episode(episode).actions, np.float32)[steps.start : steps.stop]

    def states(self, episode: int, indices: range) -> NDArray[np.float32]:
        """States ``[T, S]``."""
        seen, part = self._episode(episode).observations, slice(indices.start, indices.stop, indices.step)
        columns = [np.asarray(seen[each])[part].reshape(len(indices), -1) for each in self._states]
        return np.concatenate(columns, axis=1).astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Without the open data set, which belongs to a process."""
        return self.__dict__ | {"_process": -1, "_opened": None, "_kept": {}}

    def _episode(self, episode: int) -> Any:
        if episode not in self._kept:
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            (self._kept[episode],) = self._data().iterate_episodes([self._ids[episode]])
        return self._kept[episode]

    def _data(self) -> Any:
        if self._process != os.getpid():
            import minari

            try:
                self._opened = minari.load_dataset(self._name, download=False)
            except FileNotFoundError:
                raise self._fault(f"is not on this machine: minari download {self._name}") from None
            except (OSError, KeyError, ValueError) as error:
                raise self._fault(f"cannot be read, {' '.join(str(error).split())}") from None
            self._process = os.getpid()
        return self._opened

    def _fault(self, what: str) -> ValueError:
        return ValueError(f"the Minari data set {self._name} {what.rstrip('.')}.")
