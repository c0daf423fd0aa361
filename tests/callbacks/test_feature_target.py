import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jepa_lightning.callbacks.feature_file import Column
from jepa_lightning.callbacks.feature_target import FeatureTarget

COLUMNS = {"features": Column("float32", (2,), lambda: [np.zeros((3, 2), np.float32)])}

OPENS = """
import os, signal, sys
from pathlib import Path
from jepa_lightning.callbacks.feature_target import FeatureTarget
target = FeatureTarget(Path(sys.argv[1]), overwrite=False)
assert target.open() is None
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_only_the_file_is_left(tmp_path: Path) -> None:
    target = FeatureTarget(tmp_path / "deep" / "f.npz", overwrite=False)
    assert target.open() is None
    assert target.folder is not None
    assert target.folder.parent == tmp_path / "deep"
    assert target.write(3, COLUMNS, {}) == tmp_path / "deep" / "f.npz"
    target.close()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["f.npz"]
    target.close()  # a second time, as after an error


def test_a_name_that_another_run_takes_in_the_meantime_gets_a_number(tmp_path: Path) -> None:
    target = FeatureTarget(tmp_path / "f.npz", overwrite=False)
    assert target.open() is None
    (tmp_path / "f.npz").touch()
    (tmp_path / "f-1.npz").touch()
    assert target.write(3, COLUMNS, {}) == tmp_path / "f-2.npz"
    assert not target.overwrite


def test_a_file_is_replaced_where_that_is_asked_for_or_it_was_written_from_here(tmp_path: Path) -> None:
    target = FeatureTarget(tmp_path / "f.npz", overwrite=False)
    assert target.write(3, COLUMNS, {}) == target.write(3, COLUMNS, {}) == tmp_path / "f.npz"
    other = FeatureTarget(tmp_path / "f.npz", overwrite=False)
    assert (other.open() or "").startswith("it exists; give another name")
    assert FeatureTarget(tmp_path / "f.npz", overwrite=True).open() is None
    assert FeatureTarget(tmp_path / "f.npz" / "below.npz", overwrite=True).open() is not None


def test_the_room_is_twice_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    target = FeatureTarget(tmp_path / "f.npz", overwrite=False)
    target.check_room(5, 100)
    target.check_room(float("inf"), 100)
    with pytest.raises(MisconfigurationException, match=r"they need 0\.0 GB while they are put in order"):
        target.check_room(5, 101)


@pytest.mark.slow
def test_rows_of_a_run_that_was_killed_are_removed_by_the_next_one(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", OPENS, str(tmp_path / "f.npz")], check=False)
        assert len(list(tmp_path.glob(".features.*"))) == 1
    living, target = (FeatureTarget(tmp_path / name, overwrite=False) for name in ("g.npz", "f.npz"))
    assert living.open() is target.open() is None
    assert sorted(tmp_path.iterdir()) == sorted(path for path in (living.folder, target.folder) if path is not None)
    living.close()
    target.close()
    assert list(tmp_path.iterdir()) == []
