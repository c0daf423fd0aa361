"""Small folders as LeRobot writes them, in both versions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jepa_lightning.data import TrajectoryDataModule
from jepa_lightning.data.trajectories.lerobot import LeRobotEpisodes

av = pytest.importorskip("av", reason="needs the extra lerobot")
pa = pytest.importorskip("pyarrow", reason="needs the extra lerobot")
from pyarrow import parquet  # noqa: E402

CAMERA = "observation.images.top"
LENGTHS = (6, 4, 5)
FPS = 10
Make = Callable[..., Path]


def film(path: Path, levels: list[int]) -> None:
    """Gray frames, one a level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        stream.gop_size = 4
        for level in levels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((24, 32, 3), level, np.uint8))))
        container.mux(stream.encode())


def table(path: Path, columns: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path)


def rows(episode: int, action: Any = None) -> dict[str, Any]:
    """Of which action and state tell episode and step."""
    steps = np.arange(LENGTHS[episode])
    given = np.stack([100.0 * episode + steps, -steps], axis=1) if action is None else action
    state = np.stack([steps, steps * 0 + episode, steps * 2], axis=1).astype(np.float32)
    return {
        "episode_index": np.full(len(steps), episode),
        "frame_index": steps,
        "action": pa.array(given.tolist(), pa.list_(pa.float32())),
        "observation.state": pa.array(state.tolist(), pa.list_(pa.float32(), 3)),
        "task_index": steps * 0,
    }


def level(episode: int, step: int) -> int:
    return 20 + 80 * episode + 12 * step


@pytest.fixture(params=["v2.1", "v3.0"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Writes a folder; info replaces entries of meta/info.json, actions those of episode 1."""

    def make(actions: Any = None, **info: Any) -> Path:
        root = tmp_path / "push"
        features = {
            "action": {"dtype": "float32", "shape": [2]},
            "observation.state": {"dtype": "float32", "shape": [3]},
            CAMERA: {"dtype": "video", "shape": [24, 32, 3]},
        }
        known = {"codebase_version": request.param, "fps": FPS, "features": features, "chunks_size": 2} | info
        (root / "meta").mkdir(parents=True)
        (root / "meta/info.json").write_text(json.dumps(known))
        parts = [rows(i, actions if i == 1 else None) for i in range(3)]
        if request.param == "v2.1":
            for i, part in enumerate(parts):
                table(root / f"data/chunk-{i // 2:03d}/episode_{i:06d}.parquet", part)
                film(
                    root / f"videos/chunk-{i // 2:03d}/{CAMERA}/episode_{i:06d}.mp4",
                    [level(i, t) for t in range(LENGTHS[i])],
                )
            return root
        for number, episodes in enumerate(((0, 1), (2,))):  # several episodes share a table and a film
            joined = pa.concat_tables([pa.table(parts[i]) for i in episodes])
            path = root / f"data/chunk-000/file-{number:03d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(joined, path)
            levels = [level(i, t) for i in episodes for t in range(LENGTHS[i])]
            film(root / f"videos/{CAMERA}/chunk-000/file-{number:03d}.mp4", levels)
        starts = [0.0, LENGTHS[0] / FPS, 0.0]
        prefix = f"videos/{CAMERA}/"
        table(
            root / "meta/episodes/chunk-000/file-000.parquet",
            {
                "episode_index": [0, 1, 2],
                "length": list(LENGTHS),
                f"{prefix}chunk_index": [0, 0, 0],
                f"{prefix}file_index": [0, 0, 1],
                f"{prefix}from_timestamp": starts,
                f"{prefix}to_timestamp": [start + length / FPS for start, length in zip(starts, LENGTHS, strict=True)],
            },
        )
        return root

    return make


def test_windows_have_the_frames_actions_and_states_of_their_episodes(folder: Make) -> None:
    root = folder()
    data = TrajectoryDataModule(root, num_frames=3, frame_skip=1)
    data.setup()
    assert (data.in_channels, data.action_size, data.state_size) == (3, 2, 3)
    found = {}
    for part in (data.train_set, data.val_set):
        for sample in part:
            found[sample.path] = None
            name, start = sample.path.split("@")
            episode, steps = int(name.removeprefix("push:")), range(int(start), int(start) + 3)
            seen = sample.media.float().mean(dim=(1, 2, 3)).tolist()
            assert np.abs(np.array(seen) - [level(episode, t) for t in steps]).max() < 4
            assert sample.extras["states"].tolist() == [[t, episode, 2 * t] for t in steps]
            assert sample.extras["actions"].tolist() == [[100 * episode + t, -t] for t in steps[:-1]]
    assert len(found) == sum(length - 2 for length in LENGTHS)


def test_states_may_be_named_or_left_out(folder: Make) -> None:
    root = folder()
    assert LeRobotEpisodes(root, CAMERA, ["task_index", "observation.state"]).state_size == 4
    assert LeRobotEpisodes(root, states=[]).state_size == 0


NAN = np.array([[0, 0], [np.nan, 0], [0, 0], [0, 0]])


@pytest.mark.parametrize(
    ("actions", "info", "message"),
    [
        (NAN, {}, r"the action at step 1 of episode 1 is \[nan, 0\.0\]"),
        (np.zeros((4, 3)), {}, r"episode 1 has actions and states of \(3, 3\) numbers|equally many numbers a row"),
        (None, {"codebase_version": "v1.6"}, r"meta/info.json is of version v1\.6, and v2\.1 and v3\.0 are read"),
        (None, {"features": None}, "meta/info.json is of version"),
        (None, {"fps": 0}, "meta/info.json has fps=0"),
        (None, {"features": {}}, r"there are 0 cameras with films \(none\): name one as camera"),
        (None, {"features": {"../up": {"dtype": "video"}}}, r"there is no camera '\.\./up' with films"),
    ],
)
def test_folders_that_are_not_what_they_should_be(
    folder: Make, actions: Any, info: dict[str, Any], message: str
) -> None:
    root = folder(actions, **info)
    with pytest.raises(ValueError, match=message) as caught:
        LeRobotEpisodes(root)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_action_that_is_nan_at_the_end_is_allowed(folder: Make) -> None:
    last = np.array([[1, 2], [1, 2], [1, 2], [np.nan, np.nan]])
    assert LeRobotEpisodes(folder(last)).lengths.tolist() == list(LENGTHS)


def test_missing_and_damaged_files(folder: Make) -> None:
    root = folder()
    films, tables = sorted(root.glob("videos/**/*.mp4")), sorted(root.glob("data/**/*.parquet"))
    episodes = LeRobotEpisodes(root)
    films[0].write_bytes(films[0].read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"push: the film videos/.*{films[0].name} cannot be read"):
        episodes.frames(0, range(2))
    with pytest.raises(ValueError, match=r"there is no camera 'side' with films, only observation\.images\.top"):
        LeRobotEpisodes(root, "side")
    with pytest.raises(ValueError, match="there is no column 'speed', only action"):
        LeRobotEpisodes(root, states=["speed"])
    tables[0].write_bytes(b"PAR1 no table")
    with pytest.raises(ValueError, match=rf"{tables[0].name} cannot be read"):
        LeRobotEpisodes(root)
    (root / "meta/info.json").write_text("{")
    with pytest.raises(ValueError, match=r"meta/info\.json cannot be read"):
        LeRobotEpisodes(root)
    (root / "meta/info.json").unlink()
    with pytest.raises(ValueError, match=r"meta/info\.json cannot be read, .*No such file"):
        TrajectoryDataModule(root).setup()


def test_a_film_that_is_shorter_than_its_table(folder: Make) -> None:
    root = folder()
    path = sorted(root.glob("videos/**/*.mp4"))[-1]
    film(path, [10, 20])
    with pytest.raises(ValueError, match=r"has 2 frames for an episode of 5 rows"):
        LeRobotEpisodes(root).frames(2, range(2))


def test_a_camera_is_for_folders(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder of LeRobot, and has frames of one camera: leave out camera"):
        TrajectoryDataModule(tmp_path / "a.h5", camera="top").setup()
