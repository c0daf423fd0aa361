"""``jepa-lightning convert``: weights of any form that is read here into another form."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from jsonargparse import ArgumentParser, Namespace

from jepa_lightning.cli.weights import add_source, module_of, parse

To = Literal["hf", "timm", "safetensors", "reference", "torch"]
Which = Literal["target_encoder", "context_encoder"]
USAGE = f"give a source, a destination and a form: jepa-lightning convert SRC DST --to {'|'.join(get_args(To))}."


def convert(arguments: Sequence[str]) -> None:
    """Writes the weights, whole or not at all, and prints how they are read.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood.
        FileNotFoundError: if there is no such source.
        ValueError: if it cannot be used, or the form cannot hold it, or the destination is there already.
    """
    options = parse(_parser(), arguments, USAGE)
    place = Path(options.destination).expanduser()
    if place.exists():
        raise ValueError(f"{place} is there already: remove it, or give another name.")
    module, report = module_of(options)
    print(report)
    print(f"{place} is written. It is read by\n  {_writers()[options.to](module, place, options)}")


def _writers() -> dict[str, Callable[[Any, Path, Namespace], str]]:
    """For each form what writes it, and says how it is read."""
    return {"hf": _hf, "timm": _timm, "safetensors": _safetensors, "reference": _reference, "torch": _torch}


def _hf(module: Any, place: Path, options: Namespace) -> str:
    from jepa_lightning.interop.huggingface_writer import write_huggingface

    name = write_huggingface(module, place, options.which)
    no_pooler = ", add_pooling_layer=False" if name == "ViTModel" else ""
    return f"transformers.{name}.from_pretrained({str(place)!r}{no_pooler})"


def _timm(module: Any, place: Path, options: Namespace) -> str:
    from jepa_lightning.interop.timm_writer import write_timm

    return write_timm(module, place, options.which)


def _safetensors(module: Any, place: Path, options: Namespace) -> str:
    from jepa_lightning.interop.one_file import write_one_file

    write_one_file(module, place)
    return f"{type(module).__name__}.from_pretrained({str(place)!r})"


def _reference(module: Any, place: Path, options: Namespace) -> str:
    from jepa_lightning.interop.reference_writer import write_reference

    left = write_reference(module, place, options.source)
    more = "".join(f"\n  left out: {name} ({reason})" for name, reason in left.items())
    return f"jepa_lightning.interop.load_reference({str(place)!r}), and the code of the authors{more}"


def _torch(module: Any, place: Path, options: Namespace) -> str:
    from jepa_lightning.interop.own_checkpoint import write_checkpoint

    resumed = write_checkpoint(module, place, options.source)
    more = ", and jepa-lightning fit --ckpt_path resumes the run" if resumed else ""
    return f"{type(module).__name__}.load_from_checkpoint({str(place)!r}){more}"


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="jepa-lightning convert",
        description="Writes weights in another form: hf is a folder for transformers, timm a file for "
        "timm.create_model(checkpoint_path=...), safetensors one file with all weights and options, reference a "
        "checkpoint as the authors of I-JEPA and V-JEPA write it, torch a checkpoint of this package. The same weights "
        "give the same bytes. Example: jepa-lightning convert "
        "logs/IJEPA/version_0/checkpoints/last.ckpt model --to hf",
        exit_on_error=False,
    )
    add_source(parser)
    parser.add_argument("destination", type=str, help="The file or the folder to write, which is not there yet.")
    parser.add_argument("--to", type=To, required=True, help="The form to write, see above.")
    parser.add_argument(
        "--which",
        type=Which,
        default="target_encoder",
        help="The encoder, for hf and timm: the target encoder, which the papers evaluate, or the context encoder, "
        "which transformers and timm have of the published models.",
    )
    return parser
