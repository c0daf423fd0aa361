import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.cli.run_lock import locked

HOLD = """
import os, sys, time
from pathlib import Path
from jepa_lightning.cli.run_lock import locked
with locked(Path(sys.argv[1])):
    if sys.argv[2] == "fork" and os.fork() == 0:
        os.write(1, f"{os.getpid()}\\n".encode())  # whole lines, though two processes write to one pipe
        time.sleep(300)
    os.write(1, b"held\\n")
    time.sleep(300)
"""


def hold(folder: Path, how: str = "alone") -> tuple[subprocess.Popen[str], list[str]]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, sorted(process.stdout.readline().strip() for _ in range(2 if how == "fork" else 1))


def test_a_folder_is_for_one_process_until_it_ends(tmp_path: Path) -> None:
    process, _ = hold(tmp_path / "run")
    try:
        with pytest.raises(ValueError, match=rf"another run is writing to .*run \(process {process.pid} on "):
            locked(tmp_path / "run").__enter__()
    finally:
        process.kill()
        process.wait()
    with locked(tmp_path / "run"):
        assert (tmp_path / "run/.lock").read_text().startswith(f"process {os.getpid()} on ")


@pytest.mark.slow
def test_a_worker_that_survives_a_killed_run_does_not_hold_its_folder(tmp_path: Path) -> None:
    process, said = hold(tmp_path, "fork")
    worker = int(said[0])
    try:
        process.kill()
        process.wait()
        os.kill(worker, 0)  # lives
        with locked(tmp_path):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_the_end_of_the_block_releases_the_folder(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    process, said = hold(tmp_path)
    process.kill()
    process.wait()
    assert said == ["held"]


def test_a_file_system_without_locks_gives_a_warning(tmp_path: Path, monkeypatch: Any) -> None:
    def none(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", none)
    with pytest.warns(UserWarning, match=r"cannot be locked \(No locks available\)"), locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot write to the folder .*file/run: Not a directory"):
        locked(tmp_path / "file/run").__enter__()


@pytest.mark.slow
def test_the_command_line_can_be_imported_on_windows_and_nothing_is_locked_there(tmp_path: Path) -> None:
    code = (
        "import signal, sys\n"
        "from pathlib import Path\n"
        "for name in ('SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGPIPE'): delattr(signal, name)\n"
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios'): sys.modules[name] = None\n"
        "from jepa_lightning.cli import main\n"
        "from jepa_lightning.cli.run_lock import locked\n"
        "with locked(Path('run')), locked(Path('run')): print(Path('run/.lock').read_text())\n"
        "main(['methods'])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("process ")
    assert "IJEPA" in result.stdout
