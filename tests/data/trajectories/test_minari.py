import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jepa_lightning.data import TrajectoryDataModule
from jepa_lightning.data.trajectories.minari import MinariEpisodes


def test_without_minari_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"^Minari data sets need minari: pip install 'minari\[hdf5\]'$"):
        TrajectoryDataModule("minari:two/rooms-v0").setup()


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes a data set whose images, states and actions tell where they are from."""
    minari = pytest.importorskip("minari", reason="needs minari")
    from gymnasium import spaces
    from minari.data_collector.episode_buffer import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    def make(lengths: tuple[int, ...] = (5, 3, 6), images: bool = True, action: Any = None) -> str:
        buffers = []
        for episode, steps in enumerate(lengths):
            times = np.arange(steps + 1)
            seen: dict[str, Any] = {"pos": np.stack([times, times * 0 + episode], axis=1).astype(np.float64)}
            if images:
                seen["image"] = np.zeros((steps + 1, 8, 16, 3), np.uint8) + (10 * episode + times)[
                    :, None, None, None
                ].astype(np.uint8)
            done = [False] * (steps - 1) + [True]
            actions = (
                np.stack([times[:-1], -times[:-1]], axis=1).astype(np.float32)
                if action is None
                else np.full((steps, 2), action, np.float32)
            )
            buffers.append(
                EpisodeBuffer(
                    id=episode,
                    observations=seen,
                    actions=actions,
                    rewards=[0.0] * steps,
                    terminations=done,
                    truncations=[False] * steps,
                )
            )
        space = {"pos": spaces.Box(-9, 99, (2,), np.float64)}
        if images:
            space["image"] = spaces.Box(0, 255, (8, 16, 3), np.uint8)
        minari.create_dataset_from_buffers(
            "test/set-v0",
            buffers,
            observation_space=spaces.Dict(space),
            action_space=spaces.Box(-99, 99, (2,), np.float32),
            jpeg_encoding=False,
        )
        return "test/set-v0"

    return make


@pytest.mark.filterwarnings("ignore")
def test_windows_have_the_frames_actions_and_states_of_their_episodes(dataset: Callable[..., str]) -> None:
    data = TrajectoryDataModule(f"minari:{dataset()}", num_frames=2, frame_skip=2)
    data.setup()
    assert (data.in_channels, data.action_size, data.state_size) == (3, 4, 2)
    found = set()
    for part in (data.train_set, data.val_set):
        for sample in part:
            name, start = sample.path.split("@")
            episode, t = int(name.split(":")[1]), int(start)
            assert sample.media.shape == (2, 3, 8, 16)
            assert sample.media[:, 0, 0, 0].tolist() == [10 * episode + t, 10 * episode + t + 2]
            assert sample.extras["states"].tolist() == [[t, episode], [t + 2, episode]]
            assert sample.extras["actions"].tolist() == [[t, -t, t + 1, -t - 1]]
            found.add((episode, t))
    # of an episode of n actions there are n + 1 frames
    assert found == {(episode, t) for episode, steps in enumerate((5, 3, 6)) for t in range(steps - 1)}


@pytest.mark.filterwarnings("ignore")
def test_data_sets_that_are_not_what_they_should_be(dataset: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"the Minari data set no/such-v0 is not on this machine: minari download no/such-v0\."
    ):
        MinariEpisodes("no/such-v0")
    name = dataset()
    with pytest.raises(ValueError, match="has no observation 'speed' beside its images, only image, pos"):
        MinariEpisodes(name, ["speed"])
    assert MinariEpisodes(name, []).state_size == 0
    assert sys.modules["minari"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": False}, r"has no images among its observations, Dict\('pos'"),
        ({"action": np.inf}, "at step 0 of episode 0"),
    ],
)
def test_data_sets_without_images_or_with_infinite_actions(
    dataset: Callable[..., str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        MinariEpisodes(dataset(**options))
