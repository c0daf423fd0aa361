"""Arguments and configurations that the parser does not understand, each in one line."""

import inspect
import re
from importlib import import_module

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger

from jepa_lightning.cli.commands import TOOLS, TRAINER_COMMANDS
from jepa_lightning.cli.errors.parser_message import Fault, faults
from jepa_lightning.cli.errors.text import near, one_line, shortened
from jepa_lightning.data import JEPADataModule
from jepa_lightning.modules import JEPAModule
from jepa_lightning.planning import Planner

OPTIONS = ("config", "seed_everything", "trainer", "model", "data", "ckpt_path", "weights_only", "features")
COMMANDS = (*TRAINER_COMMANDS, *TOOLS)


class UsageError(Exception):
    """Arguments or a configuration that cannot be understood."""


def unknown_command(name: str) -> str:
    """One line about a command that does not exist, with those that do."""
    there_is = f"there is no command '{name}'{near(name, COMMANDS)}" if name else "no command is given."
    return f"{there_is} Commands: {', '.join(COMMANDS)}; `jepa-lightning COMMAND --help` has the options of each."


def explain_usage(message: str, last: str | None = None) -> str:
    """One line for what the parser says about arguments that it does not understand, with what may have been meant.

    Args:
        message: of the parser.
        last: name of the command's last argument, where that is given by itself and not as an option.
    """
    if command := re.search(r"argument subcommand: invalid choice: '([^']*)'", message):
        return unknown_command(command[1])
    if message.startswith('expected "subcommand"'):
        return unknown_command("")
    found = faults(message)
    fault = found[0] if found else Fault("", (), message, "")
    owner = fault.classes[-1] if fault.classes else ""
    about = fault.text
    if unknown := re.search(r"Option '([^']+)' is not accepted|[Kk]ey '([^']+)' is not expected", about):
        name = unknown[1] or unknown[2]
        return _no_option(owner, name) if owner else _unknown_option(name)
    if unknown := re.search(r"not accept (?:option|nested key) '([^']+)'|nrecognized arguments: --(\S+)", about):
        name = (unknown[1] or unknown[2]).partition("=")[0]
        return _no_option(owner, name) if owner else _unknown_option(name)
    for fault in found:
        if unknown := re.search(r"Expected a dot import path string:\s*(\S*)", fault.text):
            name = unknown[1].strip("'\"")
            return _unknown_class(fault.key, name) if name else f"{fault.key}: expected the name of a class, got ''"
    if needed := re.search(r'arguments are required: ([^,\s]+)|Key "([^"]+)" is required', about):
        option = (needed[1] or needed[2]).rpartition(".")[2]
        if option == last:
            return f"the {last} is missing: give it as the last argument, without --{last}."
        return f"--{fault.key}.{option} is required by {_name(owner)}." if owner else f"--{option} is required."
    return _wrong_value(found) if fault.key else one_line(" ".join(fault.text for fault in found) or message)


def _wrong_value(found: list[Fault]) -> str:
    """Which option, which types it takes, and what it got."""
    fault = found[0]
    types = list(dict.fromkeys(kind for fault in found if (kind := _expected(fault.text))))
    value = "null" if fault.value == "None" else shortened(fault.value)
    got = f", got {value}" if value else ""
    if not types:  # the parser has its own sentence
        text = one_line(re.sub(r"\[type=.*?\]", "", fault.text))
        if other := re.match(r"Unable to load config (.*)$", text):
            return f"{fault.key}: {other[1]} is neither a file nor a mapping of options, as in {{max_steps: 8}}"
        return f"{fault.key}: {text}{got if fault.value not in text else ''}"
    choices = dict.fromkeys(choice for kind in types if kind.startswith("one of ") for choice in kind[7:].split(", "))
    if choices:
        types = [*(kind for kind in types if not kind.startswith("one of ")), f"one of {', '.join(choices)}"]
    return f"{fault.key}: expected {' or '.join(types)}{got}"


def _expected(text: str) -> str:
    """The type that a fault asks for, as people write it; "" where the parser says it in another way."""
    if choices := re.match(r"Expected an? typing.Literal\[(.*)\]", text):
        return f"one of {choices[1]}"
    if kind := re.match(r"Not a valid subclass of (\w+)", text):
        return f"the name or class_path of a {kind[1]}"
    if restricted := re.match(r"Not of type \w+: .*restriction (.*)$", text):
        return f"a value with {restricted[1].replace('v', 'value ')}".replace("value value", "value")
    if kind := re.match(r"Expected (?:an? )?(.*)$", text):
        return re.sub(r"<class '(?:[\w.]*\.)?(\w+)'>", r"\1", kind[1])
    return ""


def _unknown_class(key: str, name: str) -> str:
    if name in (known := _class_names()):
        return f"{key}: {name} cannot be used here."
    return f"{key}: there is no class '{name}'{near(name, known)}"


def _no_option(class_path: str, name: str) -> str:
    return f"{_name(class_path)} has no option '{name}'{near(name, _options(class_path))}"


def _unknown_option(name: str) -> str:
    first, _, rest = name.partition(".")
    if first == "trainer" and rest:
        option = rest.split(".")[0]
        return f"the Trainer has no option '{option}'{near(option, inspect.signature(Trainer.__init__).parameters)}"
    if first in COMMANDS:
        return f"'{first}' is a command and no option: write its options without it in a file that is given after it."
    return f"there is no option '{first}'{near(first, OPTIONS)}"


def _options(class_path: str) -> set[str]:
    """What a class takes, with what its bases take through ``**kwargs``."""
    module, _, name = class_path.rpartition(".")
    bases = getattr(import_module(module), name).__mro__
    return {option for base in bases for option in inspect.signature(base.__init__).parameters}


def _class_names() -> set[str]:
    found: list[type] = [JEPAModule, JEPADataModule, Callback, Logger, Planner]
    for base in found:  # grows while it is gone through
        found += base.__subclasses__()
    return {cls.__name__ for cls in found if not inspect.isabstract(cls)}


def _name(class_path: str) -> str:
    return class_path.rpartition(".")[2]
