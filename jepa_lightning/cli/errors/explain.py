"""Which errors a user can correct, and the one line for each."""

import linecache
import re
import traceback

from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import distributed as dist
from torch.distributed.checkpoint.api import CheckpointException

from jepa_lightning.cli.errors.machine import explain_machine
from jepa_lightning.cli.errors.misfits import misfit, misfit_of_shards
from jepa_lightning.cli.errors.missing_package import explain_missing_package
from jepa_lightning.cli.errors.text import one_line
from jepa_lightning.cli.errors.usage import UsageError, explain_usage

# whose ValueError and RuntimeError are about the input; those of others may as well be faults of this package
PLAIN_SPEAKERS = ("jepa_lightning.", "lightning.", "timm.", "torch.optim.")
# what the backends of torch.distributed say when another rank has gone; gloo with the place in its code
LOST = re.compile(r"gloo.*Connection (closed|reset) by peer|NCCL.*(remote process exited|Connection (closed|reset))")
LOST_STORE = re.compile(r"Connection (was likely )?(closed|reset)|Broken pipe|recvValue failed|Failed to recv")
# what Lightning and torch say shortly, and what to do about it
HINTS = {
    "No supported gpu backend found!": "the Trainer is to use a GPU, and this machine has none: add "
    "--trainer.accelerator cpu (with configs/trainer/ddp.yaml also --trainer.devices 2 --trainer.precision 32-true "
    "--trainer.sync_batchnorm false).",
    "SyncBatchNorm layers only work with GPU modules": "joint batch norms want a GPU: set "
    "--trainer.sync_batchnorm false.",
}


def explain(error: BaseException) -> str | None:
    """One line about an error that a user can correct; None for one that may be a fault of the program.

    Args:
        error: that ended the run.
    """
    wrapped, error = error, _cause(error)
    text = str(error)
    if in_worker := re.search(r"in DataLoader worker process.*\n(\w+): (.*)", text, re.DOTALL):
        return _of_a_worker(in_worker[1], in_worker[2], text)
    if text in HINTS:
        return HINTS[text]
    if two := re.match(r"Found more than one stateful callback of type `(\w+)`", text):
        return (
            f"there are two {two[1]} callbacks, whose states have one name: leave one out, or, if it is a probe, give "
            "it a name= of its own."
        )
    if text.startswith("Error(s) in loading state_dict"):
        return misfit(text)
    if isinstance(error, CheckpointException):
        causes = [cause for cause, _ in error.failures.values()]
        said = misfit_of_shards([str(cause) for cause in causes])
        return said or next(filter(None, map(explain_machine, causes)), None)
    if isinstance(error, dist.DistNetworkError) and not LOST_STORE.search(text):
        return f"the processes of this run do not reach each other ({one_line(text)}): see MASTER_ADDR and MASTER_PORT."
    if isinstance(error, RuntimeError) and (LOST.search(text) or isinstance(error, dist.DistNetworkError)):
        return "another process of this run has ended: what it said stands above, or in its own log."
    if wrapped is not error and (
        unknown := re.match(r"\w+\.__init__\(\) got an unexpected keyword argument (.*)", text)
    ):
        return f"there is no option {unknown[1]}, which dict_kwargs gives: leave it out."
    if isinstance(error, ValueError) and _origin(error)[0].startswith("jsonargparse"):
        return explain_usage(str(wrapped))
    if isinstance(error, ImportError):
        return explain_missing_package(error)
    return _meant(error, text) or explain_machine(error)


def _meant(error: BaseException, text: str) -> str | None:
    """What was raised on purpose, in its own words."""
    certain = (UsageError, MisconfigurationException, FloatingPointError)
    plain = isinstance(error, (ValueError, RuntimeError)) and _meant_for_users(error)
    # Lightning refuses some options of the Trainer with a TypeError, such as devices=-1 on a CPU
    plain |= isinstance(error, TypeError) and _origin(error)[0].startswith("lightning.") and _meant_for_users(error)
    # the system's own words come with a number
    plain |= isinstance(error, OSError) and error.errno is None and isinstance(error, FileNotFoundError)
    return one_line(text) if plain or isinstance(error, certain) else None


def _of_a_worker(kind: str, said: str, text: str) -> str | None:
    """An error that a DataLoader's worker hands on as text, with its traceback."""
    if kind in ("ValueError", "RuntimeError") and "jepa_lightning" in text:
        return one_line(said)
    kinds = {"MemoryError": MemoryError, "_ArrayMemoryError": MemoryError, "RuntimeError": RuntimeError}
    return explain_machine(kinds.get(kind, OSError)(said))


def _cause(error: BaseException) -> BaseException:
    """What a constructor raised, where the parser has wrapped it."""
    while isinstance(error, ValueError) and error.__cause__ and _origin(error)[0].startswith("jsonargparse"):
        error = error.__cause__
    return error


def _meant_for_users(error: BaseException) -> bool:
    """Whether one of the plain speakers raised an error on purpose."""
    module, line = _origin(error)
    return module.startswith(PLAIN_SPEAKERS) and line.startswith("raise ")


def _origin(error: BaseException) -> tuple[str, str]:
    """The module that an error comes from, and the line of code; empty for an error that was never raised."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return "", ""
    frame, number = frames[-1]
    return str(frame.f_globals.get("__name__", "")), linecache.getline(frame.f_code.co_filename, number).strip()
