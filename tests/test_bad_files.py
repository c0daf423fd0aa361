"""Bad files through the command line: each ends in one line that names the file."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.cli.main import main


def said(arguments: list[str], capsys: Any) -> tuple[Any, str]:
    """The exit code, and all of standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code, capsys.readouterr().err


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
