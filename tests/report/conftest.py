import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jepa_lightning.report.history import History, read_history

START = {
    "kind": "start", "step": 0, "method": "IJEPA", "data": "ShapesDataModule", "date": "2026-11-28 22:18:00 +0000",
    "command": "jepa-lightning fit --config configs/quickstart.yaml", "probes": ["linear", "knn"],
    "monitors": ["collapse"], "about": {"device": "cpu", "torch": "2.5.0"},
}  # fmt: skip
ROWS = {
    "shape": {"raw pixels": 0.4, "random init": 0.35, "trained": 0.52, "linear best": 0.43, "linear last": 0.42},
    "color": {"raw pixels": 0.6, "random init": 0.9, "trained": 0.8, "linear best": 0.93, "linear last": 0.92},
    "scale": {"raw pixels": 0.5, "random init": 0.5, "trained": 0.51, "linear best": 0.5, "linear last": 0.5},
}


def values(step: int, **found: float | None) -> dict[str, Any]:
    """A record of values; ``__`` in a name is a slash."""
    named = {name.replace("__", "/"): value for name, value in found.items()}
    return {"kind": "values", "step": step, "seconds": step * 1.0, "values": named}


def end(step: int, reason: str = "") -> dict[str, Any]:
    """The record of an end."""
    places = [["checkpoint", "checkpoints/last.ckpt"]]
    return {
        "kind": "end", "step": step, "seconds": 90.0, "reason": reason, "places": places, "next": ["jepa-lightning x"]
    }  # fmt: skip


def lines(records: list[dict[str, Any]]) -> str:
    """The text of a record file."""
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def make() -> SimpleNamespace:
    """What records are made with."""
    return SimpleNamespace(start=START, rows=ROWS, values=values, end=end, lines=lines)


@pytest.fixture
def whole() -> list[dict[str, Any]]:
    """All records of a run that went well."""
    accuracies = {
        "val__linear": 0.42, "val__linear_shape": 0.42, "val__linear_color": 0.92, "val__knn_shape": 0.3,
        "val__linear_shape_raw_pixels": 0.4, "val__linear_shape_random_init": 0.35,
    }  # fmt: skip
    return [
        START,
        values(10, train__loss=2.0, collapse__rank=5.0, collapse__effective_rank=4.0, collapse__alarm=0.0, lr=0.1),
        values(20, train__loss=1.0, collapse__rank=50.0, collapse__effective_rank=40.0, collapse__alarm=1.0, lr=0.2),
        {"kind": "alarm", "step": 19, "name": "collapse", "text": "the features become the same"},
        values(20, **accuracies),
        {"kind": "rows", "rows": ROWS},
        end(20),
    ]


@pytest.fixture
def history(whole: list[dict[str, Any]]) -> History:
    """The record of a run that went well."""
    found, broken = read_history(lines(whole))
    assert not broken
    return found


@pytest.fixture
def png() -> Callable[..., bytes]:
    """A picture of one color, made by hand from the specification of PNG."""

    def build(width: int = 4, height: int = 3, padding: int = 0) -> bytes:
        def chunk(kind: bytes, data: bytes) -> bytes:
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        pixels = zlib.compress((b"\0" + b"\x80" * width) * height)
        extra = chunk(b"tEXt", b"c\0" + bytes(padding)) if padding else b""
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")

    return build


@pytest.fixture
def run(tmp_path: Path, whole: list[dict[str, Any]], png: Callable[..., bytes]) -> Path:
    """The folder of a run, with a configuration and pictures of two steps."""
    folder = tmp_path / "version_0"
    for step in (0, 20):
        (folder / f"pictures/step_{step:06d}").mkdir(parents=True)
        (folder / f"pictures/step_{step:06d}/masks.png").write_bytes(png())
    (folder / "history.jsonl").write_text(lines(whole))
    (folder / "config.yaml").write_text("seed_everything: 7\n")
    return folder
