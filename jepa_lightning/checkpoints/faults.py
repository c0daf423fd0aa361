"""What a disk says when it cannot take a checkpoint."""

from collections.abc import Iterator

from torch.distributed.checkpoint.api import CheckpointException


def disk_fault(error: BaseException) -> str | None:
    """What the system says about a failure to write, which torch hides behind its own errors; None for other faults."""
    causes = list(_causes(error))
    said = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if not said and any("inline_container" in str(cause) for cause in causes):
        return "the disk is full or failed"
    return said[0] if said else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, CheckpointException):
            for cause, _ in error.failures.values():
                yield from _causes(cause)
        error = error.__cause__ or error.__context__
