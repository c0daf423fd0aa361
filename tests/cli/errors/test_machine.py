import errno
import locale
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.cli.errors.machine import explain_machine


def raised(action: Any) -> BaseException:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("take", "amount"),
    [
        (lambda: torch.empty(1 << 50, dtype=torch.uint8), "1,048,576.0 GiB were asked for at once"),
        (lambda: np.zeros(1 << 50, dtype=np.uint8), "1,048,576.0 GiB were asked for at once"),
        (lambda: torch.empty(1 << 40, 1 << 40), "were asked for at once"),
        (lambda: bytearray(1 << 60), "the machine has no more"),
    ],
)
def test_memory_that_is_not_there(take: Any, amount: str) -> None:
    line = explain_machine(raised(take))
    assert line is not None
    assert amount in line
    assert line.endswith("Lower --data.batch_size, --model.image_size or the size of the encoder.")


def test_memory_of_a_gpu() -> None:
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.50 GiB. GPU 0 has a total capacity of ...")
    assert (explain_machine(error) or "").startswith("not enough memory: 20.5 GiB were asked for at once.")


def test_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    inside = tmp_path / "logs" / "run"
    for action in (inside.mkdir, lambda: os.makedirs(tmp_path / "logs")):
        line = explain_machine(raised(action))
        assert line is not None
        assert "a file is where a folder is wanted" in line
        assert str(tmp_path / "logs") in line
    assert (explain_machine(raised((tmp_path / ("x" * 300)).mkdir)) or "").endswith("File name too long.")
    assert explain_machine(raised(lambda: os.listdir("a\0b"))) == "the name of a file has a null character in it."
    assert (explain_machine(raised(tmp_path.read_bytes)) or "") == f"{tmp_path}: Is a directory."


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.EACCES, "/data/x cannot be read or written (Permission denied): see who may"),
        (errno.EROFS, "/data/x cannot be read or written (Read-only file system): see who may"),
        (errno.ENOSPC, "the disk is full at /data/x (No space left on device): free some space."),
        (errno.EMFILE, "too many files are open at once: raise the limit in this shell with `ulimit -n 8192`"),
        (errno.ENOMEM, "not enough memory (Cannot allocate memory). Lower --data.num_workers"),
    ],
)
def test_what_the_system_says(number: int, said: str) -> None:
    assert (explain_machine(OSError(number, os.strerror(number), "/data/x")) or "").startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)", "/dev/shm"),
        ("DataLoader worker (pid 1) is killed by signal: Bus error. It is possible that dataloader's workers are out "
         "of shared memory.", "/dev/shm"),
        ("unable to open shared memory object </torch_1> in read-write mode: Too many open files (24)", "ulimit -n"),
        ("received 0 items of ancdata", "ulimit -n"),
        ("Too many open files. Communication with the workers is no longer possible.", "ulimit -n"),
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", "was killed, most likely because memory ran out"),
    ],
)  # fmt: skip
def test_what_torch_says_of_workers(text: str, said: str) -> None:
    line = explain_machine(RuntimeError(text))
    assert line is not None
    assert said in line


def test_characters_that_the_locale_lacks(monkeypatch: Any) -> None:
    error = raised(lambda: "lögs".encode("ascii"))
    assert explain_machine(error) is None  # else it is a fault of the program
    monkeypatch.setattr(locale, "getpreferredencoding", lambda _: "ANSI_X3.4-1968")
    line = explain_machine(error)
    assert line is not None
    assert line.endswith("set PYTHONUTF8=1.")


@pytest.mark.parametrize(
    "error",
    [ValueError("a"), RuntimeError("a"), ConnectionResetError(errno.ECONNRESET, "reset"), KeyError("a"), OSError()],
)
def test_other_errors_are_not_of_the_machine(error: Exception) -> None:
    assert explain_machine(error) is None
