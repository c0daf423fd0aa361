"""Safetensors files that are the same for the same weights."""

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_safetensors(state: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors in the order of their names; what shares memory is written as often as it is named.

    Args:
        state: tensors by name, on any device.
        path: the file.
        metadata: one entry, in the place of ``format``, which ``transformers`` asks for.
    """
    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name in sorted(state):
        value = state[name].detach().cpu().contiguous()
        place = value.untyped_storage().data_ptr()
        own[name] = value.clone() if place in seen else value
        seen.add(place)
    # safetensors writes several entries in an order that differs from file to file, and the bytes have to be the same
    save_file(own, path, dict(metadata or {"format": "pt"}))
