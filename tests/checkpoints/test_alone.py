import subprocess
import sys
from pathlib import Path

import pytest

from jepa_lightning.checkpoints import appearing
from jepa_lightning.checkpoints.alone import alone, has_ended

WRITES = """
import sys
from pathlib import Path
from jepa_lightning.checkpoints import appearing
with appearing(Path(sys.argv[1])) as place, place.open("wb") as file:
    file.write(b"half")
    file.flush()
    print(flush=True)
    input()
    file.write(b" and half")
"""


@pytest.mark.slow
@pytest.mark.parametrize("killed", [False, True])
def test_a_second_process_is_refused_and_leaves_the_first_one_alone(tmp_path: Path, killed: bool) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    command = [sys.executable, "-c", WRITES, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        with pytest.raises(OSError, match=r"another process is writing it: '.*file'"), appearing(path):
            pytest.fail("two processes write to one place")
        with appearing(other) as place:
            place.write_text("its own")
        assert not path.exists()
        if killed:
            process.kill()
        else:
            process.communicate(b"\n")
    if killed:
        with appearing(path) as place:
            assert not place.exists()
            place.write_bytes(b"half and half")
    assert path.read_bytes() == b"half and half"
    assert sorted(tmp_path.iterdir()) == [path, other]


def test_a_lock_that_was_removed_meanwhile_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    lock, real, calls = tmp_path / "place.lock", fcntl.lockf, []

    def lockf(*arguments: object) -> None:
        real(*arguments)
        calls.append(arguments)
        if len(calls) == 1:
            lock.unlink()

    monkeypatch.setattr(fcntl, "lockf", lockf)
    with alone(tmp_path / "place"):
        assert lock.exists()
    assert len(calls) == 2
    assert not lock.exists()


def test_a_process_has_ended_when_its_lock_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    assert not has_ended(path)  # nothing is known
    path.touch()
    assert has_ended(path)
    monkeypatch.setattr("jepa_lightning.checkpoints.alone.fcntl", None)
    assert not has_ended(path)
