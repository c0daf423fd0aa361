import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jepa_lightning.cli.main import main
from jepa_lightning.data import TrajectoryDataModule
from jepa_lightning.data.trajectories.writer import MADE_BY
from jepa_lightning.worlds import make_world
from jepa_lightning.worlds.layouts import layouts_of
from jepa_lightning.worlds.recording import record

h5py = pytest.importorskip("h5py", reason="needs the extra worlds")
pytest.importorskip("gymnasium", reason="needs the extra worlds")
SHORT = ["--env", "TwoRooms", "--max_steps", "12"]


def contents(path: Path) -> dict[str, bytes]:
    with h5py.File(path) as file:
        return {name: file[name][:].tobytes() for name in file}


def test_episodes_are_recorded_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rooms.h5"
    main(["collect", *SHORT, "--episodes", "4", "--seed", "3", str(path)])
    assert f"{path} holds 4 episodes of 52 frames" in capsys.readouterr().out
    data = TrajectoryDataModule(path, num_frames=5, val_fraction=0.25)
    data.setup()
    assert (data.in_channels, data.action_size, data.state_size) == (2, 2, 2)
    assert data.num_samples == 3 * 9
    clip, _, _, extras = data.train_set[0]
    assert clip.shape == (5, 2, 65, 65)
    steps = extras["states"].diff(dim=0)
    assert (steps - extras["actions"]).abs().amax(1).lt(1e-4).float().mean() > 0.4
    known = {tuple(row) for row in layouts_of("train").tolist()}
    with h5py.File(path) as file:
        first = file["pixels"][0, :, :, 1]
    columns = np.flatnonzero((first[5:60, 5:60] == 255).any(0)) + 5
    assert columns[1] in {wall for wall, _ in known}


def test_the_file_holds_what_was_recorded_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "rooms.h5"
    main(["collect", *SHORT, "--policy", "expert", "--episodes", "2", str(path)])
    with h5py.File(path) as file:
        for number, start in enumerate(file["ep_offset"]):
            from jepa_lightning.seeding import seed_from

            seed = seed_from(0, 0, number) % 2**32
            episode = record(make_world("TwoRooms", layouts="train"), "expert", seed, 12)
            rows = slice(start, start + file["ep_len"][number])
            for name, values in episode._asdict().items():
                assert file[name][rows].tobytes() == values.tobytes()


@pytest.mark.slow
def test_a_killed_run_continues_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.h5", tmp_path / "killed.h5"
    rest = ["--env", "TwoRooms", "--max_steps", "4", "--episodes"]
    main(["collect", *rest, "30", str(whole)])
    command = [sys.executable, "-m", "jepa_lightning", "collect", *rest, "100000", str(killed)]
    process = subprocess.Popen(
        command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    parts = tmp_path / "killed.h5.parts"
    limit = time.monotonic() + 120
    while len(list(parts.glob("*.npz"))) < 5:
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    main(["collect", *rest, "30", str(killed)])
    assert contents(killed) == contents(whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.h5", "whole.h5"]


def test_a_stopped_run_says_how_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jepa_lightning.worlds import recording

    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recording, "record", interrupted)
    with pytest.raises(SystemExit) as caught:
        main(["collect", *SHORT, "--episodes", "2", str(tmp_path / "a.h5")])
    assert caught.value.code == 1
    assert "stopped: the same command resumes with the episodes in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "CartPole-v1"], r"CartPole-v1 has actions Discrete(2), and those of a world model are vectors"),
        (["--env", "Nope-v1"], "there is no environment 'Nope-v1'"),
        (["--env", "TwoRooms", "--episodes", "0"], "episodes=0 is out of range"),
        (["--env", "TwoRooms", "--policy", "clever"], "policy: expected one of 'random', 'expert', got clever"),
        (["--env", "TwoRooms", "--env_options", '{"layouts": "odd"}'], "there are no layouts 'odd'"),
        ([], "--env is required"),
    ],
)
def test_wrong_arguments_end_in_one_line_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["collect", "--episodes", "2", *arguments, str(tmp_path / "a.h5")])
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert caught.value.code
    assert list(tmp_path.iterdir()) == []


def test_other_endings_and_existing_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.h5").write_text("mine")
    for name, message in (("a.txt", "give a name that ends in .h5 or .hdf5"), ("a.h5", "is there already")):
        with pytest.raises(SystemExit):
            main(["collect", *SHORT, "--episodes", "1", str(tmp_path / name)])
        assert message in capsys.readouterr().err
    assert (tmp_path / "a.h5").read_text() == "mine"


@pytest.mark.parametrize("package", ["gymnasium", "h5py"])
def test_without_a_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else found(name, *rest)
    )
    with pytest.raises(SystemExit):
        main(["collect", *SHORT, "--episodes", "1", str(tmp_path / "a.h5")])
    error = capsys.readouterr().err
    assert f"collect needs {package}, which is not installed: pip install 'jepa_lightning[worlds]'" in error


def test_one_process_at_a_time_records_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rooms.h5"
    parts = tmp_path / "rooms.h5.parts"
    parts.mkdir()
    holds = (
        "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.lockf(file, fcntl.LOCK_EX); print(flush=True); input()"
    )
    command = [sys.executable, "-c", holds, str(parts / ".lock")]
    main(["collect", *SHORT, "--episodes", "1", str(tmp_path / "other.h5")])
    made = json.loads(h5py.File(tmp_path / "other.h5").attrs["settings"])
    (parts / "settings.json").write_text(json.dumps({"made_by": MADE_BY, "settings": made}))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(SystemExit):
            main(["collect", *SHORT, "--episodes", "1", str(path)])
        process.kill()
    assert f"another run is writing to {parts} (" in capsys.readouterr().err
    main(["collect", *SHORT, "--episodes", "1", str(path)])
    assert contents(path) == contents(tmp_path / "other.h5")
