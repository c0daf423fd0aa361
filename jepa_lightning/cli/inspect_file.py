"""``jepa-lightning inspect``: what a file of weights holds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser

from jepa_lightning.checkpoints import present
from jepa_lightning.cli.weights import parse
from jepa_lightning.interop.inspecting import describe
from jepa_lightning.interop.published import locate, reading


def inspect_file(arguments: Sequence[str]) -> None:
    """Prints class, step, networks, norms, options, and the library that made it, as YAML.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood.
        FileNotFoundError: if there is no such file.
        ValueError: if it is no file of weights, or is damaged.
    """
    options = parse(_parser(), arguments, "give a file of weights: jepa-lightning inspect FILE.")
    path = present(Path(options.file).expanduser())
    if not path.exists():
        path, _ = locate(options.file)
    with reading(options.file, path):
        found = {"file": str(path), **describe(path)}
    print(yaml.safe_dump(_plain(found), sort_keys=False, width=110).rstrip())


def _plain(value: Any) -> Any:
    """What YAML has: numbers rounded, anything else as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value if isinstance(value, (str, int, bool, type(None))) else f"{type(value).__name__}"


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="jepa-lightning inspect",
        description="Prints what a file of weights holds: which library made it, class, step, the size and the norm of "
        "each network, values that are not finite, and options. Reads checkpoints of Lightning and of the authors of "
        "I-JEPA and V-JEPA, files of torch, safetensors, folders of transformers and folders of shards. Nothing in "
        "them is run. The report of a run is written by jepa-lightning inspect-run. "
        "Example: jepa-lightning inspect logs/IJEPA/version_0/checkpoints/last.ckpt",
        exit_on_error=False,
    )
    parser.add_argument("file", type=str, help="The file or the folder, or a published name.")
    return parser
