import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jepa_lightning.checkpoints import held_folder
from jepa_lightning.checkpoints.held import LOCK

HOLDS = """
import sys
from pathlib import Path
from jepa_lightning.checkpoints import held_folder
with held_folder(Path(sys.argv[1]), ".rows.") as folder:
    (folder / "half").touch()
    print(flush=True)
    input()
"""


def held(parent: Path) -> list[str]:
    """Names of the folders that are there while this process makes one more."""
    with held_folder(parent, ".rows.") as own:
        return sorted(path.name for path in parent.iterdir() if path != own)


@pytest.mark.slow
def test_a_folder_stays_while_its_process_lives_and_is_removed_after_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        (folder,) = tmp_path.iterdir()
        assert held(tmp_path) == held(tmp_path) == [folder.name]
        assert (folder / "half").is_file()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert folder.is_dir()
    assert held(tmp_path) == []
    assert not folder.exists()


def test_folders_of_this_process_and_those_without_a_lock_stay(tmp_path: Path) -> None:
    (tmp_path / ".rows.of an earlier version").mkdir()
    (tmp_path / ".rows.new").mkdir()
    (tmp_path / ".rows.new" / LOCK).touch()  # as in a folder that is not locked yet
    (tmp_path / ".other.dead").mkdir()
    (tmp_path / ".other.dead" / LOCK).write_text("locked")
    (tmp_path / ".rows.file").touch()
    with held_folder(tmp_path, ".rows.") as first, held_folder(tmp_path, ".rows.") as second:
        assert held(tmp_path) == sorted(
            [".other.dead", ".rows.file", ".rows.new", ".rows.of an earlier version", first.name, second.name]
        )
    assert not first.exists()
    assert not second.exists()


def test_nothing_is_removed_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".rows.dead").mkdir()
    (tmp_path / ".rows.dead" / LOCK).write_text("locked")
    with monkeypatch.context() as windows:
        windows.setattr("jepa_lightning.checkpoints.alone.fcntl", None)
        assert held(tmp_path) == [".rows.dead"]
    fcntl = pytest.importorskip("fcntl")

    def lockf(*_: object) -> None:
        raise OSError(37, "No locks available")

    with monkeypatch.context() as unlocked:
        unlocked.setattr(fcntl, "lockf", lockf)
        with held_folder(tmp_path, ".rows.") as own:
            assert not (own / LOCK).read_bytes()  # so that a machine with locks leaves it alone
        assert held(tmp_path) == [".rows.dead"]
    assert held(tmp_path) == []


def test_an_error_in_the_block_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="full"), held_folder(tmp_path, ".rows."):
        raise RuntimeError("full")
    assert list(tmp_path.iterdir()) == []
