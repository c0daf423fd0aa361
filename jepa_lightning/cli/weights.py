"""What the commands about weights share: a module out of any file, and how its options are given."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

import jepa_lightning
from jepa_lightning.cli.errors import UsageError, explain_usage
from jepa_lightning.cli.named_class import named_method
from jepa_lightning.interop import LoadReport, load_pretrained
from jepa_lightning.interop.published import PUBLISHED
from jepa_lightning.interop.sniff import method_of
from jepa_lightning.modules import JEPAModule

GIVEN = ("heads", "predictor_heads", "image_size", "num_frames")


def add_source(parser: ArgumentParser) -> None:
    """Adds the file and what it may not say."""
    parser.add_argument(
        "source",
        type=str,
        help="A checkpoint, a folder of save_pretrained or of transformers, a file of the authors of I-JEPA and V-JEPA "
        f"or a published name: {', '.join(PUBLISHED)}.",
    )
    parser.add_argument("--model", type=str | None, help="The class, where the file does not say it: IJEPA or my.Own.")
    parser.add_argument("--heads", type=int | None, help="Attention heads, where the size is none of the known ones.")
    parser.add_argument("--predictor_heads", type=int | None, help="Attention heads of the predictor, likewise.")
    parser.add_argument(
        "--image_size",
        type=int | tuple[int, int] | None,
        help="Size of the input in pixels, where it is not to be that of the file.",
    )
    parser.add_argument("--num_frames", type=int | None, help="Frames of a clip, where the file does not say it.")


def parse(parser: ArgumentParser, arguments: Sequence[str], usage: str) -> Namespace:
    """The options of a command.

    Raises:
        UsageError: if they cannot be understood.
    """
    if not arguments:
        raise UsageError(usage)
    try:
        return parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error), "destination")) from error


def module_of(options: Namespace) -> tuple[Any, LoadReport]:
    """The module of a source.

    Args:
        options: with those of ``add_source``.

    Raises:
        FileNotFoundError: if there is no such thing.
        ValueError: if it cannot be used.
    """
    cls = named_method(options.model) if options.model else _default(options.source)
    given = {name: options[name] for name in GIVEN if options[name] is not None}
    return load_pretrained(cls, options.source, given)


def _default(source: str) -> Any:
    """The class that a source is of; modules of this package are all imported."""
    path = Path(source).expanduser()
    method = method_of(path if path.exists() else source)
    return JEPAModule if method is None else getattr(jepa_lightning, method)
