"""``jepa-lightning export``: the encoder of a checkpoint as ONNX or as a program of ``torch.export``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from jepa_lightning.cli.weights import add_source, module_of, parse
from jepa_lightning.interop import load_reference
from jepa_lightning.interop.export import Output, export

CLOSE = 1e-4


def export_encoder(arguments: Sequence[str]) -> None:
    """Writes the encoder, and prints how far its outputs are from those of the module.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood.
        FileNotFoundError: if there is no such checkpoint.
        ValueError: if it cannot be used, or the outputs are further apart than 1e-4.
        ImportError: if the packages for ONNX are not installed.
    """
    options = parse(_parser(), arguments, "give a checkpoint and a file: jepa-lightning export CKPT OUT.onnx.")
    module, report = module_of(options)
    print(report)
    probe: Any = None
    if options.probe is not None:
        probe, probe_report = load_reference(options.probe, "probe", heads=options.heads)
        print(probe_report)
    output: Output = "logits" if probe is not None and options.output == "pooled" else options.output
    size = options.image_size
    size = (size, size) if isinstance(size, int) else size
    found = export(module, Path(options.destination).expanduser(), output, probe, size)
    shape = " x ".join(map(str, found.size))
    print(f"{' and '.join(map(str, found.files))}: {output} of inputs [batch, {shape.replace(' x ', ', ')}]")
    if found.difference is None:
        print("Not compared with the module: pip install onnxruntime.")
    elif found.difference <= CLOSE:
        print(f"Outputs of a batch of 3 are within {found.difference:.1e} of those of the module.")
    else:
        raise ValueError(
            f"the outputs of {options.destination} are up to {found.difference:.1e} from those of the module: leave it."
        )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="jepa-lightning export",
        description="Writes the encoder that is evaluated, for batches of any size: OUT.onnx is ONNX (pip install "
        "'jepa_lightning[onnx]'), OUT.pt2 a program of torch.export. Its outputs are compared with those of the "
        "module. Example: jepa-lightning export logs/IJEPA/version_0/checkpoints/last.ckpt encoder.onnx",
        exit_on_error=False,
    )
    add_source(parser)
    parser.add_argument("destination", type=str, help="The file to write, .onnx or .pt2, which is not there yet.")
    parser.add_argument(
        "--output",
        type=Output,
        default="pooled",
        help="pooled is the mean over tokens, tokens all of them; logits, of a probe, are the default with one.",
    )
    parser.add_argument("--probe", type=str | None, help="A file or a folder with an attentive probe of the encoder.")
    return parser
