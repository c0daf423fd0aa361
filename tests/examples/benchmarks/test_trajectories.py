import numpy as np
import pytest


def test_prints_windows_per_second(example, capsys):
    pytest.importorskip("h5py", reason="needs the extra worlds")
    benchmark = example("benchmarks/trajectories.py")
    sizes = ["--side", "16", "--episodes", "4", "--length", "12", "--frame_skip", "2", "--windows", "8"]
    benchmark.main([*sizes, "--repeats", "1", "--batch-size", "4"])
    first, *rates = capsys.readouterr().out.splitlines()
    assert first.startswith("4 frames of 16 px, ")
    assert [line.split(":")[0] for line in rates] == ["data set", "loader, 0 workers"]
    assert all(float(line.split()[-2].replace(",", "")) > 0 for line in rates)


def test_frames_move_by_the_actions(example, tmp_path):
    h5py = pytest.importorskip("h5py", reason="needs the extra worlds")
    example("benchmarks/trajectories.py").write(tmp_path / "a.h5", 2, 5, 16)
    with h5py.File(tmp_path / "a.h5") as file:
        before, after = file["pixels"][5], file["pixels"][6]  # of the second episode
        rows, columns = file["action"][6].astype(int)
    assert (after == np.roll(before, (rows, columns), axis=(0, 1))).all()
