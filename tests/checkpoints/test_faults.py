import errno

import pytest
from torch.distributed.checkpoint.api import CheckpointException

from jepa_lightning.checkpoints import disk_fault

FULL = OSError(errno.ENOSPC, "No space left on device")


def caused_by(cause: BaseException) -> BaseException:
    error = RuntimeError("the writer has failed")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [FULL, caused_by(FULL), caused_by(caused_by(FULL)), CheckpointException("save", {1: (FULL, None)})],  # type: ignore[dict-item]
    ids=["itself", "cause", "cause of a cause", "a rank's"],
)
def test_what_the_system_says_is_found(error: BaseException) -> None:
    assert disk_fault(error) == "No space left on device"


def test_torch_does_not_say_why_its_writer_fails() -> None:
    error = RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0")
    assert disk_fault(error) == "the disk is full or failed"


def test_other_faults_are_none_of_the_disk() -> None:
    assert disk_fault(caused_by(ValueError("shapes differ"))) is None
