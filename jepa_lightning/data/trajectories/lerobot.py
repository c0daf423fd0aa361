# E episodes, T frames, A numbers of an action, S numbers of a state
"""Episodes in a folder of LeRobot, versions 2.1 and 3: tables of parquet (pyarrow) and films (PyAV)."""

import importlib.util
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from jepa_lightning.data.trajectories.episodes import Ints
from jepa_lightning.data.trajectories.parquet import read_columns
from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.video import UnreadableVideoError

MAX_JSON = 64 << 20  # bytes
NAME = re.compile(r"[\w-]+(\.[\w-]+)*")  # of a feature, which is a folder's name too


class _Film(NamedTuple):
    """The part of a video file that shows an episode, in seconds."""

    path: Path
    start: float = 0.0
    end: float | None = None


class LeRobotEpisodes:
    """Episodes of a folder. Tables of actions and states are read whole, frames when they are asked for.

    Args:
        root: the folder, with ``meta/info.json``.
        camera: name of the films; None takes the only one.
        states: names of the columns that make a state; None takes ``observation.state``, where there is one.

    Raises:
        ImportError: if pyarrow or PyAV is not installed.
        ValueError: if the folder is not of this layout, with what is wrong.
    """

    in_channels = 3

    def __init__(self, root: Path, camera: str | None = None, states: Sequence[str] | None = None) -> None:
        for package in ("pyarrow", "av"):
            if importlib.util.find_spec(package) is None:
                raise ImportError(
                    f"folders of LeRobot need {package}: pip install 'jepa_lightning[lerobot]'", name=package
                )
        self._root = root
        info = self._json("meta/info.json")
        version, features = str(info.get("codebase_version")), info.get("features")
        if not version.startswith(("v2.", "v3.")) or not isinstance(features, dict):
            raise self._fault(f"meta/info.json is of version {version}, and v2.1 and v3.0 are read")
        fps = info.get("fps")
        if not isinstance(fps, (int, float)) or not 0 < fps < 1e4:
            raise self._fault(f"meta/info.json has fps={fps!r}")
        self._fps = float(fps)
        self._camera = self._choose_camera(features, camera)
        names = [name for name in ("observation.state",) if name in features] if states is None else list(states)
        self._numbers = {episode: rows for part in self._tables(names) for episode, rows in part.items()}
        films = self._films_of_3() if version.startswith("v3.") else self._films_of_2(info)
        self._episodes = sorted(self._numbers)
        if not self._episodes:
            raise self._fault("there is no episode")
        if missing := set(self._episodes) - films.keys():
            raise self._fault(f"episode {min(missing)} has a table, and no entry in meta/episodes")
        self._films = films
        self.lengths: Ints = np.array([len(self._numbers[episode][0]) for episode in self._episodes])
        self.action_size = self._numbers[self._episodes[0]][0].shape[1]
        self.state_size = self._numbers[self._episodes[0]][1].shape[1]
        self._check()

    def name(self, episode: int) -> str:
        """Name of the folder and number of the episode."""
        return f"{self._root.name}:{self._episodes[episode]}"

    def frames(self, episode: int, indices: range) -> Tensor:
        """Frames uint8 ``[T, 3, H, W]``.

        Raises:
            ValueError: if the film cannot be read, or is shorter than the table.
        """
        film = self._films[self._episodes[episode]]
        try:
            video = VideoFile(film.path, film.start, film.end)
            if video.num_frames < self.lengths[episode]:
                raise UnreadableVideoError(
                    f"it has {video.num_frames} frames for an episode of {self.lengths[episode]} rows."
                )
            return video.read(indices).contiguous()
        except (UnreadableVideoError, OSError) as error:
            raise self._fault(f"the film {film.path.relative_to(self._root)} cannot be read, {error}") from None

    def actions(self, episode: int, steps: range) -> NDArray[np.float32]:
        """Actions ``[len(steps), A]``."""
        return np.array(self._numbers[self._episodes[episode]][0][steps.start : steps.stop])

    def states(self, episode: int, indices: range) -> NDArray[np.float32]:
        """States ``[T, S]``."""
        return np.array(self._numbers[self._episodes[episode]][1][indices.start : indices.stop : indices.step])

    def _choose_camera(self, features: dict[str, Any], camera: str | None) -> str:
        cameras = sorted(
            name for name, form in features.items() if isinstance(form, dict) and form.get("dtype") == "video"
        )
        listed = ", ".join(cameras) or "none"
        if camera is None and len(cameras) != 1:
            raise self._fault(f"there are {len(cameras)} cameras with films ({listed}): name one as camera")
        chosen = camera or cameras[0]
        if chosen not in cameras or not NAME.fullmatch(chosen):
            raise self._fault(f"there is no camera {chosen!r} with films, only {listed}")
        return chosen

    def _tables(self, states: list[str]) -> Iterator[dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]]:
        """Actions and states of each episode, by the files that they are in."""
        paths = sorted(self._root.glob("data/chunk-*/*.parquet"))
        if not paths:
            raise self._fault("there is no data/chunk-*/*.parquet")
        seen: set[int] = set()
        for path in paths:
            columns = read_columns(path, ["episode_index", "action", *states])
            index = columns["episode_index"][:, 0].astype(np.int64)
            starts = np.flatnonzero(np.diff(index, prepend=index[:1] - 1))
            actions = columns["action"].astype(np.float32)
            numbers = [columns[name].astype(np.float32) for name in states] or [actions[:, :0]]
            state = np.concatenate(numbers, axis=1)
            found = index[starts].tolist()
            if seen & set(found) or len(set(found)) < len(found):
                raise self._fault(f"{path.relative_to(self._root)} has an episode that is elsewhere too")
            seen |= set(found)
            rows = [slice(start, stop) for start, stop in zip(starts, [*starts[1:], len(index)], strict=True)]
            yield {episode: (actions[part], state[part]) for episode, part in zip(found, rows, strict=True)}

    def _films_of_2(self, info: dict[str, Any]) -> dict[int, _Film]:
        size = info.get("chunks_size")
        if not isinstance(size, int) or size < 1:
            raise self._fault(f"meta/info.json has chunks_size={size!r}")
        folder = self._root / "videos"
        return {
            i: _Film(folder / f"chunk-{i // size:03d}" / self._camera / f"episode_{i:06d}.mp4") for i in self._numbers
        }

    def _films_of_3(self) -> dict[int, _Film]:
        paths = sorted(self._root.glob("meta/episodes/chunk-*/*.parquet"))
        keys = [
            f"videos/{self._camera}/{name}" for name in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")
        ]
        films = {}
        for path in paths:
            columns = read_columns(path, ["episode_index", *keys])
            for episode, chunk, file, start, end in np.concatenate(list(columns.values()), axis=1).tolist():
                place = self._root / "videos" / self._camera / f"chunk-{int(chunk):03d}" / f"file-{int(file):03d}.mp4"
                # half a frame earlier, as times are rounded
                films[int(episode)] = _Film(place, max(0.0, start - 0.5 / self._fps), end - 0.5 / self._fps)
        return films

    def _check(self) -> None:
        """Refuses episodes of other sizes, and actions that are not finite but for the last of an episode."""
        for episode, (actions, states) in self._numbers.items():
            sizes = actions.shape[1], states.shape[1]
            if sizes != (self.action_size, self.state_size):
                raise self._fault(
                    f"episode {episode} has actions and states of {sizes} numbers, others have other ones"
                )
            bad = np.flatnonzero(~np.isfinite(actions[:-1]).all(axis=1))
            if len(bad) or np.isinf(actions[-1]).any():
                step = int(bad[0]) if len(bad) else len(actions) - 1
                raise self._fault(f"the action at step {step} of episode {episode} is {actions[step].tolist()}")

    def _json(self, name: str) -> dict[str, Any]:
        path = self._root / name
        try:
            if path.stat().st_size > MAX_JSON:
                raise self._fault(f"{name} has more than {MAX_JSON} bytes")
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise self._fault(f"{name} cannot be read, {error}") from None
        if not isinstance(found, dict):
            raise self._fault(f"{name} is not a JSON object")
        return found

    def _fault(self, what: str) -> ValueError:
        return ValueError(f"{self._root}: {what.rstrip('.')}.")
