import pytest
from torch import distributed as dist

from jepa_lightning.cli.errors import explain

LOST = "another process of this run has ended: what it said stands above, or in its own log."


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError("[.../gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:26798."), LOST),
        (RuntimeError("NCCL error: remote process exited or there was a network error"), LOST),
        (dist.DistNetworkError("Failed to recv, got 0 bytes. Connection was likely closed."), LOST),
        (
            dist.DistNetworkError("The client socket has timed out after 1s while trying to connect to (a, 1)."),
            "the processes of this run do not reach each other (The client socket has timed out after 1s while trying "
            "to connect to (a, 1).): see MASTER_ADDR and MASTER_PORT.",
        ),
        (RuntimeError("Connection reset by peer"), None),  # of a download, say
        (UserWarning("`torch.x` is deprecated"), None),  # under python -W error
    ],
)
def test_an_error_is_explained_by_all_of_what_it_says(error: Exception, line: str | None) -> None:
    assert explain(error) == line


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("OSError: [Errno 24] Too many open files: 'a.png'", "too many files are open at once"),
        (
            "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9.00 GiB for an array",
            "not enough memory: 9.0",
        ),
        ("KeyError: 'a'", None),
        ("ValueError: of somebody else", None),
    ],
)
def test_an_error_of_a_worker_is_read_from_its_traceback(said: str, line: str | None) -> None:
    error = RuntimeError(f"Caught Error in DataLoader worker process 0.\nOriginal Traceback:\n  File x\n{said}")
    found = explain(error)
    assert found is None if line is None else (found or "").startswith(line)
