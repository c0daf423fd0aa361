"""Bad options and files through the command line: each ends in one line that names the option or the file."""

import inspect
import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from jepa_lightning import callbacks, data, modules
from jepa_lightning.cli.lightning_cli import JEPACLI
from jepa_lightning.cli.main import main

WRONG = (-1, math.nan, math.inf, -math.inf, 10**30, 1e30, "", "text", [], [[]], {"unknown": 1}, True)
# understood when a run begins, together with the optimizer
LATE = {"optimizer", "optimizer_options", "warmup"}
# names and paths, which may be any text, and mappings with any keys
TEXT = {"root", "cache_dir", "train", "val", "path", "dirpath", "name", "default_root_dir"}
NO_LIMIT = {"max_epochs", "max_steps", "num_sanity_val_steps"}
LISTS = {"logger", "callbacks", "plugins"}
KEYS = {"storage_options", "num_classes"}
# what an option without a default needs
REQUIRED = {"root": ".", "train": "list.csv", "path": "weights.ckpt"}


def classes(package: Any, kind: type) -> list[type]:
    found = [value for name in package.__all__ if inspect.isclass(value := getattr(package, name))]
    return [cls for cls in found if issubclass(cls, kind) and not inspect.isabstract(cls)]


def options(cls: type) -> dict[str, str]:
    """The types of a class's options as text, those of its bases in this package too."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        if base.__module__.startswith("jepa_lightning") or base is Trainer:
            parameters = inspect.signature(base.__init__).parameters.items()
            found |= {name: str(each.annotation) for name, each in parameters if each.kind is not each.VAR_KEYWORD}
    return {name: hint for name, hint in found.items() if name != "self"}


def place(cls: type, option: str, value: Any) -> dict[str, Any]:
    """The configuration that gives one option of a class a value."""
    if cls is Trainer:
        return {"trainer": {option: value}}
    needed = {name: REQUIRED[name] for name in options(cls) if name in REQUIRED}
    given = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": {**needed, option: value}}
    if issubclass(cls, Callback):
        return {"trainer": {"callbacks": [given]}}
    return {"model" if issubclass(cls, LightningModule) else "data": given}


def takes(option: str, hint: str, value: Any) -> bool:
    """Whether a value of the list is right for an option after all."""
    if value is True:
        return "bool" in hint or "Literal[1" in hint
    if value == -1 or value == []:
        return option in (NO_LIMIT if value == -1 else LISTS)
    return option in (KEYS if isinstance(value, dict) else TEXT if isinstance(value, str) else ())


def cases() -> dict[type, list[tuple[str, Any]]]:
    """Options and values by class; an option that several classes have with one type is tried with the first."""
    found, seen = {}, set()
    walked = [*classes(modules, LightningModule), *classes(data, LightningDataModule), *classes(callbacks, Callback)]
    for cls in [*walked, Trainer]:
        new = {name: hint for name, hint in options(cls).items() if (name, hint) not in seen}
        seen |= new.items()
        found[cls] = [(name, value) for name, hint in new.items() for value in WRONG if not takes(name, hint, value)]
    return found


CASES = cases()


def said(arguments: list[str], capsys: Any) -> tuple[Any, str]:
    """The exit code, and all of standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code, capsys.readouterr().err


def stop_after_building(cli: JEPACLI) -> None:
    raise SystemExit(0)


@pytest.mark.slow
@pytest.mark.parametrize("cls", CASES, ids=lambda cls: cls.__name__)
def test_wrong_values_of_every_option(cls: type, tiny_cli: str, capsys: Any, monkeypatch: Any) -> None:
    wrong = []
    for option, value in CASES[cls]:
        stop = (lambda cli: None) if option in LATE else stop_after_building
        monkeypatch.setattr(JEPACLI, "after_instantiate_classes", stop)
        Path("wrong.yaml").write_text(yaml.safe_dump(place(cls, option, value)))
        try:
            code, text = said(["fit", "--config", tiny_cli, "--config", "wrong.yaml"], capsys)
        except BaseException as error:
            code, text = repr(error)[:300], ""
        if code == 0 or text.count("\n") != 1 or option not in text:
            wrong.append((option, value, code, text))
    assert not wrong


CONFIGS: dict[str, bytes] = {
    "empty": b"",
    "list": b"[1, 2]",
    "text": b"text",
    "latin-1": "trainer: {default_root_dir: l\u00f6gs}".encode("latin-1"),
    "UTF-16": "trainer: {max_steps: 1}".encode("utf-16"),
    "two keys": b"trainer: {max_steps: 1}\ntrainer: {max_steps: 2}",
    "alias of itself": b"trainer: &a {x: *a}",
    "unknown alias": b"trainer: *a",
    "tabs": b"trainer:\n\tmax_steps: 1",
    "tag": b"trainer: !!python/object/apply:os.mkdir [ran]",
    "null character": b"trainer: {max_steps: \x00}",
    "no options": b"trainer: null",
    "list for options": b"trainer: []",
    "number for a class": b"model: 3",
    "list for a class": b"model: [IJEPA]",
    "key of a class": b"model: {class_path: IJEPA, init_arg: {}}",
    "number for a callback": b"trainer: {callbacks: [3]}",
    "key that is a number": b"3: 4",
}


@pytest.mark.parametrize("name", [*CONFIGS, "pipe", "folder", "nothing"])
def test_configurations_that_cannot_be_used(name: str, tiny_cli: str, capsys: Any) -> None:
    if name == "pipe":
        os.mkfifo("wrong.yaml")
    elif name == "folder":
        Path("wrong.yaml").mkdir()
    elif name in CONFIGS:
        Path("wrong.yaml").write_bytes(CONFIGS[name])
    code, text = said(["fit", "--config", tiny_cli, "--config", "wrong.yaml"], capsys)
    assert code == 2
    assert text.startswith("jepa-lightning: error: ")
    assert "wrong.yaml" in text
    assert text.count("\n") == 1
    assert not Path("ran").exists()


CHECKPOINTS: dict[str, Any] = {
    "empty": b"",
    "text": b"text",
    "truncated": b"PK\x03\x04",
    "empty dict": {},
    "foreign": {"epoch": 1, "state_dict": {}},
    "of another model": {
        "pytorch-lightning_version": "2.6.0",
        "state_dict": {},
        "hyper_parameters": {"_class_path": "mine.Other"},
    },
}


@pytest.mark.parametrize("command", ["fit", "predict"])
@pytest.mark.parametrize("name", [*CHECKPOINTS, "pipe", "folder", "nothing"])
def test_checkpoints_that_cannot_be_used(name: str, command: str, tiny_cli: str, capsys: Any) -> None:
    if name == "pipe":
        os.mkfifo("wrong.ckpt")
    elif name == "folder":
        Path("wrong.ckpt").mkdir()
    elif isinstance(content := CHECKPOINTS.get(name), bytes):
        Path("wrong.ckpt").write_bytes(content)
    elif name in CHECKPOINTS:
        torch.save(content, "wrong.ckpt")
    code, text = said([command, "--config", tiny_cli, "--ckpt_path", "wrong.ckpt"], capsys)
    assert code
    assert text.startswith("jepa-lightning: error: ")
    assert "wrong.ckpt" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("option", ["--config", "--ckpt_path", "--model", "--data", "--model.lr"])
def test_options_without_a_value(option: str, tiny_cli: str, capsys: Any) -> None:
    code, text = said(["fit", "--config", tiny_cli, option, ""], capsys)
    assert code == 2
    assert text.startswith("jepa-lightning: error: ")
    assert option.lstrip("-") in text
    assert text.count("\n") == 1


def test_as_many_cases_are_tried_as_there_are() -> None:
    assert sum(map(len, CASES.values())) > 2000
    assert len({name for tried in CASES.values() for name, _ in tried}) > 150
    assert {cls for cls, tried in CASES.items() if tried} >= {modules.IJEPA, data.ImageFolderDataModule, Trainer}
