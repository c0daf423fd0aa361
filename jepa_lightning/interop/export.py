# B batch, N tokens, D width
"""Encoders as ONNX and as programs of ``torch.export``, with a check that they compute the same."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from jepa_lightning.features import eval_mode
from jepa_lightning.interop.folders import file_appearing

Output = Literal["pooled", "tokens", "logits"]
SMALL = 1 << 30  # bytes of weights up to which they are put in the ONNX file itself, which has a limit of 2 GB


class Exported(NamedTuple):
    """What was written, and how far its outputs are from those of the module.

    Attributes:
        files: that belong together.
        difference: the largest between outputs of a batch of another size than the one exported; None if nothing on
            this machine runs the file.
        size: of an input, without the batch.
    """

    files: tuple[Path, ...]
    difference: float | None
    size: tuple[int, ...]


class FeatureNetwork(nn.Module):
    """An encoder, and what is done with its tokens.

    Args:
        encoder: maps an input to tokens ``[B, N, D]``.
        output: ``pooled`` is ``[B, D]``, ``tokens`` ``[B, N, D]``, and ``logits`` what a probe makes of the tokens.
        probe: of tokens, for ``logits``.

    Raises:
        ValueError: if there are logits and no probe, or the other way around.
    """

    def __init__(self, encoder: nn.Module, output: Output = "pooled", probe: nn.Module | None = None) -> None:
        super().__init__()
        if (output == "logits") != (probe is not None):
            raise ValueError("logits need a probe, and a probe gives logits: give both, or neither.")
        self.encoder, self.output, self.probe = encoder, output, probe

    def forward(self, x: Tensor) -> Tensor:
        """Images or clips to features."""
        tokens: Tensor = self.encoder(x)
        if self.probe is not None:
            return cast(Tensor, self.probe(tokens))
        return tokens.mean(dim=1) if self.output == "pooled" else tokens


def export(
    module: Any,
    path: Path,
    output: Output = "pooled",
    probe: nn.Module | None = None,
    image_size: tuple[int, int] | None = None,
) -> Exported:
    """Writes the evaluation encoder of a module for batches of any size.

    Args:
        module: a ``JEPAModule``.
        path: ``.onnx``, or ``.pt2`` for ``torch.export``.
        output: as of ``FeatureNetwork``.
        probe: likewise.
        image_size: height and width of the input; None takes those that the module is built for.

    Raises:
        ValueError: if the name has another ending, or the encoder does not take such an input.
        RuntimeError: if torch cannot export the encoder.
        ImportError: if the packages for ONNX are not installed.
    """
    if path.suffix not in (".onnx", ".pt2"):
        raise ValueError(f"{path} ends in {path.suffix or 'nothing'}: .onnx is ONNX, and .pt2 is of torch.export.")
    network = FeatureNetwork(module.eval_encoder, output, probe)
    size = _input_size(module, image_size)
    with eval_mode(network), torch.no_grad():
        expected = network(_example(size, 3))
        write = _write_onnx if path.suffix == ".onnx" else _write_program
        with file_appearing(path) as place:
            files = write(network, _example(size, 2), place)
            run = _onnx_runner(place) if path.suffix == ".onnx" else _program_runner(place)
            difference = None if run is None else float((run(_example(size, 3)) - expected).abs().max())
    return Exported(tuple(path.parent / name for name in files), difference, size)


def _input_size(module: Any, image_size: tuple[int, int] | None) -> tuple[int, ...]:
    """Channels, frames where there are any, height and width."""
    side = image_size or (module.image_size if not isinstance(module.image_size, int) else (module.image_size,) * 2)
    frames = (module.num_frames,) if getattr(module, "num_frames", 1) > 1 else ()
    return (int(getattr(module, "in_channels", 3)), *frames, *map(int, side))


def _example(size: tuple[int, ...], number: int) -> Tensor:
    return torch.randn(number, *size, generator=torch.Generator().manual_seed(number))


def _write_program(network: nn.Module, example: Tensor, place: Path) -> list[str]:
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, place)
    return [place.name]


def _program_runner(place: Path) -> Callable[[Tensor], Tensor]:
    run: Callable[[Tensor], Tensor] = torch.export.load(place).module()
    return run


def _write_onnx(network: nn.Module, example: Tensor, place: Path) -> list[str]:
    weights = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    try:
        import onnxscript  # noqa: F401  # torch needs it
    except ImportError as error:
        raise ImportError("ONNX needs more packages: pip install 'jepa_lightning[onnx]'") from error
    torch.onnx.export(
        network,
        (example,),
        place,
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        input_names=["x"],
        output_names=["features"],
        external_data=weights > SMALL,
        verbose=False,
    )
    return sorted(path.name for path in place.parent.iterdir())


def _onnx_runner(place: Path) -> Callable[[Tensor], Tensor] | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(place), providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
