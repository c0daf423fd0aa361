"""``jepa-lightning``: finds the command, and ends errors that a user can correct in one line.

What a command needs is imported when it is called: the list of commands needs no import.
"""

import os
import select
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TextIO

import jepa_lightning
from jepa_lightning.cli.commands import TOOLS, TRAINER_COMMANDS, overview

DEBUG = "JEPA_LIGHTNING_DEBUG"


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line. Errors that a user can correct end in one line; ``JEPA_LIGHTNING_DEBUG=1`` shows all.

    Args:
        args: arguments; None takes those of the process.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    try:
        if arguments in (["--help"], ["-h"]):
            print(overview())
        elif arguments == ["--version"]:
            print(f"jepa-lightning {jepa_lightning.__version__}")
        else:
            from jepa_lightning.callbacks.held_signals import exiting_on_signals

            with exiting_on_signals():
                _main(arguments)
    finally:
        if _nobody_reads():
            sys.exit(128 + getattr(signal, "SIGPIPE", 13))  # Windows has no such signal


def _main(arguments: list[str]) -> None:
    from lightning.pytorch.utilities import rank_zero_only
    from lightning.pytorch.utilities.exceptions import SIGTERMException
    from torch.distributed.checkpoint.api import CheckpointException

    from jepa_lightning.cli.errors import UsageError, explain

    try:
        with warnings.catch_warnings(), _working_folder():
            # said by Lightning about itself
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            _run(arguments)
    except SIGTERMException:
        # Lightning would end like a run that is through
        sys.exit(128 + signal.SIGTERM)
    except KeyboardInterrupt:  # outside of the Trainer, which has its own end for it
        print("jepa-lightning: interrupted.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except (Exception, CheckpointException) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return
        text = None if os.environ.get(DEBUG) else explain(error)
        if text is None:
            raise
        # every rank raises a CheckpointException, and rank zero prints it
        say = rank_zero_only(print) if isinstance(error, CheckpointException) else print
        say(f"jepa-lightning: error: {text}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def _run(arguments: list[str]) -> None:
    from jepa_lightning.cli.config_files import check_arguments
    from jepa_lightning.cli.errors import UsageError, unknown_command
    from jepa_lightning.rank_variables import check_rank_variables

    command = arguments[0] if arguments else ""
    if not command.startswith("-") and command not in (*TRAINER_COMMANDS, *TOOLS):
        raise UsageError(unknown_command(command))
    check_rank_variables()
    check_arguments(arguments)
    if command in TOOLS:
        module, _, function = TOOLS[command].runs.rpartition(".")
        getattr(import_module(module), function)(arguments[1:])
        return
    from jepa_lightning.cli.lightning_cli import JEPACLI

    JEPACLI(arguments)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe that its reader has closed, as `head` does; what is left of it is dropped."""
    try:
        sys.stdout.flush()
        if not _is_closed(sys.stdout):
            return False
    except BrokenPipeError:
        pass
    # otherwise the interpreter writes again at its end, which raises an error
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _is_closed(stream: TextIO) -> bool:
    """Whether the reader of a pipe has closed it; without a buffer (``PYTHONUNBUFFERED``) flushing does not tell."""
    poll = getattr(select, "poll", None)  # Windows has none
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # a stream that is not a file
        return False
    if poll is None:
        return False
    watch = poll()
    watch.register(descriptor, select.POLLOUT)
    return any(event & select.POLLERR for _, event in watch.poll(0))


@contextmanager
def _working_folder() -> Iterator[None]:
    """Lets classes be imported from the working folder, as ``python -m jepa_lightning`` does."""
    if getattr(sys.flags, "safe_path", False):  # Python 3.11: the user does not want that
        yield
        return
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")
