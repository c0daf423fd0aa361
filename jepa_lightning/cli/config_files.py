"""Configuration files: what is refused before it is parsed."""

import locale
import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import set_loader
from lightning.pytorch.cli import LightningArgumentParser

from jepa_lightning.cli.config_form import check_form
from jepa_lightning.cli.config_yaml import check_yaml, load_yaml
from jepa_lightning.cli.errors import UsageError

MODE = "checked_yaml"
MAX_BYTES = 5_000_000
# options that take a file with the options below them, beside a value
# the parser reads a configuration from a file for these, and for each option of the Trainer
TAKE_FILES = re.compile(r"--config|-c|--(model|data)(\.init_args)?|--trainer(\.[^.]+)?\+?")

set_loader(MODE, load_yaml, (yaml.YAMLError,))


class ConfigParser(LightningArgumentParser):
    """A parser whose configurations are regular files of YAML or JSON in UTF-8, with no key twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"parser_mode": MODE, **kwargs})

    def parse_path(self, path: Any, *args: Any, **kwargs: Any) -> Any:
        """Parses a configuration file.

        Args:
            path: of the file.
            args: as in jsonargparse.
            kwargs: as in jsonargparse.

        Raises:
            UsageError: if the file is of another kind.
        """
        check_config(path)
        return super().parse_path(path, *args, **kwargs)


def check_config(path: str | os.PathLike[str]) -> None:
    """Reads a configuration file, and checks what it holds before the parser sees it.

    Args:
        path: of the file. What does not exist, cannot be read, or is an address is left to the parser.

    Raises:
        UsageError: if it is not a regular file, too large, not in UTF-8, not YAML, or does not hold a mapping of the
            form that ``check_form`` asks for.
    """
    name, file = str(path), Path(path).expanduser()
    try:
        found = file.stat()
    except (OSError, ValueError):
        return
    if stat.S_ISDIR(found.st_mode):
        raise UsageError(f"{name} is a folder: give the configuration file in it.")
    _refuse_pipe(name, found.st_mode)
    if found.st_size > MAX_BYTES:
        size, limit = found.st_size / 1e6, MAX_BYTES / 1e6
        raise UsageError(f"{name} has {size:,.0f} MB, and a configuration at most {limit:.0f} MB: is it another file?")
    if not os.access(file, os.R_OK):
        return
    text = _decode(file.read_bytes(), name)
    try:
        kind = check_yaml(text.removeprefix("\ufeff"), name)
        content = load_yaml(text) if kind is dict else {}
    except yaml.MarkedYAMLError as error:
        raise UsageError(_fault(error, name)) from error
    except yaml.YAMLError as error:
        raise UsageError(f"{name} is not YAML: {' '.join(str(error).split())}.") from error
    if kind is not dict:
        fault = "is empty" if kind is None else "holds a list" if kind is list else "holds text"
        raise UsageError(f"{name} {fault}: a configuration is a mapping of options, as in `trainer: {{max_steps: 8}}`.")
    check_form(content, name)


def check_arguments(arguments: Sequence[str]) -> None:
    """Checks the arguments that may name files, or hold a class with its options.

    Args:
        arguments: of the command line.

    Raises:
        UsageError: if one of them is empty where a file is needed, names a pipe or a device, which could be waited for
            without end, or gives a class in a wrong form.
    """
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        option, given, value = argument.partition("=")
        if not TAKE_FILES.fullmatch(option):
            continue
        value = value if given else following
        if option in ("--config", "-c") and not value:
            raise UsageError(f"{option} names no file: give the path of a configuration file.")
        if value.startswith(("{", "[")) or option.endswith(".init_args"):
            with suppress(yaml.YAMLError):  # the parser says what is wrong
                check_form(_nested(option, load_yaml(value)), "command line")
        with suppress(OSError, ValueError):
            _refuse_pipe(value, Path(value).expanduser().stat().st_mode)


def _nested(option: str, value: Any) -> dict[str, Any]:
    """The configuration that one option with its value stands for."""
    key, _, rest = option.strip("-+").partition(".")
    return {key: _nested(rest, value) if rest else value}


def _refuse_pipe(name: str, mode: int) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise UsageError(f"{name} is a pipe or a device: write it to a file first, since it is read more than once.")


def _decode(content: bytes, name: str) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        raise UsageError(
            f"{name} is not in UTF-8{' but in UTF-16' if utf_16 else ''} (byte {error.start}): save it in UTF-8."
        ) from error
    here = locale.getpreferredencoding(False)
    if not text.isascii() and here.lower().replace("-", "") != "utf8":
        raise UsageError(f"{name} has characters that the locale of this shell, {here}, lacks: set PYTHONUTF8=1.")
    return text


def _fault(error: yaml.MarkedYAMLError, name: str) -> str:
    """What is wrong with the syntax, and in which line."""
    mark = error.problem_mark or error.context_mark
    line = f", line {mark.line + 1}" if mark else ""
    problem = " ".join(filter(None, (error.context, error.problem)))
    hint = "; indent with spaces, not with tabs" if "cannot start any token" in problem else ""
    return f"{name}{line}: not YAML, {problem}{hint}."
