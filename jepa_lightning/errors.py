"""Errors that a user can put right, each as one line that says what was wrong, where, and what to do."""

import difflib
import inspect
import linecache
import re
import traceback
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger
from torch.distributed.checkpoint.api import CheckpointException

from jepa_lightning.data import JEPADataModule
from jepa_lightning.modules import JEPAModule

# whose ValueError and RuntimeError are about the input; those of others may as well be faults of this package
PLAIN_SPEAKERS = ("jepa_lightning.", "lightning.", "timm.", "torch.optim.")
OPTIONS = ("config", "seed_everything", "trainer", "model", "data", "ckpt_path", "weights_only", "features")
LOST = re.compile(r"Connection (closed|reset) by peer")  # gloo's words
# what Lightning and torch say shortly, and what to do about it
HINTS = {
    "No supported gpu backend found!": "the Trainer is to use a GPU, and this machine has none: add "
    "--trainer.accelerator cpu (with configs/trainer/ddp.yaml also --trainer.devices 2 --trainer.precision 32-true "
    "--trainer.sync_batchnorm false).",
    "SyncBatchNorm layers only work with GPU modules": "joint batch norms want a GPU: set "
    "--trainer.sync_batchnorm false.",
}
NOISE = re.compile(
    r"Does not validate against|Subtypes:|Errors:|Given value|Expected a <class 'NoneType'>|Expected a path but|"
    r"Problem with given class_path|Parser key .*:$|Not a valid subclass|Subclass types expect|a class path|a dict with"
)


class UsageError(Exception):
    """Arguments or a configuration that cannot be understood."""


def explain(error: BaseException) -> str | None:
    """One line about an error that a user can put right; None for one that may be a fault of the program."""
    wrapped, error = error, _cause(error)
    text = str(error)
    if in_worker := re.search(r"in DataLoader worker process.*jepa_lightning.*\n(\w+): (.*)", text, re.DOTALL):
        return _one_line(in_worker[2]) if in_worker[1] in ("ValueError", "RuntimeError") else None
    if text in HINTS:
        return HINTS[text]
    if text.startswith("Error(s) in loading state_dict"):
        return _misfit(text)
    if isinstance(error, CheckpointException):
        return _misfit_of_shards([str(cause) for cause, _ in error.failures.values()])
    if isinstance(error, RuntimeError) and LOST.search(text):
        return "another process of this run has ended: what it said stands above, or in its own log."
    if isinstance(error, UserWarning):  # the one that main makes an error
        return "there is no last checkpoint yet: give the path of one, or leave --ckpt_path out to start anew."
    if isinstance(error, ValueError) and _origin(error)[0].startswith("jsonargparse"):
        return explain_usage(str(wrapped))
    certain = (UsageError, MisconfigurationException, FileNotFoundError, FloatingPointError)
    if isinstance(error, certain) or (isinstance(error, (ValueError, RuntimeError)) and _meant_for_users(error)):
        return _one_line(text)
    return None


def explain_usage(message: str) -> str:
    """One line for what the parser says about arguments that it does not understand, with what may have been meant."""
    message = message.replace('Parser key "config": ', "")
    lines = [line.strip().removeprefix("- ").strip() for line in message.splitlines()]
    details = [line for line in lines if line and not NOISE.match(line)]
    keys = re.findall(r'[Pp]arser key "([^"]+)"', message)
    key = ".".join(keys)
    classes = re.findall(r"given class_path '([^']+)'", message)
    detail = details[0] if details else message
    if unknown := re.search(r"Option '([^']+)' is not accepted|[Kk]ey '([^']+)' is not expected", message):
        name = unknown[1] or unknown[2]
        if classes:
            return f"{classes[0].rpartition('.')[2]} has no option '{name}'{_near(name, _options(classes[0]))}"
    if unknown := re.search(r"not accept (?:option|nested key) '([^']+)'|nrecognized arguments: --(\S+)", message):
        return _unknown_option((unknown[1] or unknown[2]).partition("=")[0])
    if unknown := re.search(r"Expected a dot import path string: (\S+)", message):
        if unknown[1] in (known := _class_names()):
            return f"{key}: {unknown[1]} cannot be used here."
        return f"{key}: there is no class '{unknown[1]}'{_near(unknown[1], known)}"
    if needed := re.search(r'arguments are required: ([^,\s]+)|Key "([^"]+)" is required', message):
        option = (needed[1] or needed[2]).rpartition(".")[2]
        by = f"{key}.{option} is required by {classes[0].rpartition('.')[2]}" if classes else f"{option} is required"
        return f"--{by}."
    value = re.findall(r"Given value: (.*)", message)
    shown = f", got {value[0]}" if value and detail.startswith("Expected") and "Got value" not in detail else ""
    return f"{key}: {_plain(detail)}{shown}" if key else _plain(" ".join(details))


def _plain(detail: str) -> str:
    """Types as people write them."""
    detail = re.sub(r"typing.Literal\[(.*?)\]", r"one of \1", detail)
    detail = re.sub(r"<class '([^']+)'>", r"\1", detail).replace(". Got value:", ", got")
    return _one_line(re.sub("^Expected an? ", "expected ", detail))


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
    """The module that an error comes from, and the line of code."""
    (frame, number) = list(traceback.walk_tb(error.__traceback__))[-1]
    return str(frame.f_globals.get("__name__", "")), linecache.getline(frame.f_code.co_filename, number).strip()


def _misfit(text: str) -> str:
    """What a checkpoint lacks, has too much of, or has in another size."""
    model = re.search(r"state_dict for (\w+)", text)
    keys = re.findall(r'(Missing|Unexpected) key\(s\) in state_dict: ("[^"]+")([^\n]*)', text)
    found = [f"{rest.count(',') + 1} {kind.lower()} ({first})" for kind, first, rest in keys]
    sizes = re.findall(r"size mismatch for (\S+): .*Size\(\[(.*)\]\) from .*Size\(\[(.*)\]\)", text)
    if sizes:
        name, there, here = sizes[0]
        found.append(f'{len(sizes)} of another size ("{name}": {there} there, {here} here)')
    return (
        f"the checkpoint does not fit {model[1] if model else 'the model'}, it has tensors {', '.join(found)}. "
        "Take the class and the options that it was trained with."
    )


def _misfit_of_shards(causes: list[str]) -> str | None:
    """The same of a folder of shards, of which torch names one tensor."""
    for cause in causes:
        if lacks := re.search(r"Missing key in checkpoint state_dict: \w+\.(.+)\.$", cause):
            found = f'lacks "{lacks[1]}"'
        elif other := re.search(r"saved torch.Size\(\[(.*)\]\) .* torch.Size\(\[(.*)\]\) for \w+\.(.+)$", cause):
            found = f'has "{other[3]}" as {other[1]}, and here it is {other[2]}'
        else:
            continue
        return f"the checkpoint does not fit, it {found}. Take the class and the options that it was trained with."
    return None


def _unknown_option(name: str) -> str:
    first, _, rest = name.partition(".")
    if first == "trainer" and rest:
        option = rest.split(".")[0]
        return f"the Trainer has no option '{option}'{_near(option, inspect.signature(Trainer.__init__).parameters)}"
    return f"there is no option '{first}'{_near(first, OPTIONS)}"


def _options(class_path: str) -> set[str]:
    """What a class takes, with what its bases take through ``**kwargs``."""
    module, _, name = class_path.rpartition(".")
    bases = getattr(import_module(module), name).__mro__
    return {option for base in bases for option in inspect.signature(base.__init__).parameters}


def _class_names() -> set[str]:
    found: list[type] = [JEPAModule, JEPADataModule, Callback, Logger]
    for base in found:  # grows while it is gone through
        found += base.__subclasses__()
    return {cls.__name__ for cls in found if not inspect.isabstract(cls)}


def _near(name: str, known: Iterable[Any]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean '{near[0]}'?" if near else "."


def _one_line(text: str) -> str:
    return " ".join(text.split())
