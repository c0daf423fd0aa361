from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LENGTHS = (9, 5, 12, 7)


@pytest.fixture
def episodes_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes episodes whose numbers tell where they are from; values replace or, as None, remove columns."""
    h5py = pytest.importorskip("h5py", reason="needs the extra worlds")

    def write(lengths: tuple[int, ...] = LENGTHS, **columns: Any) -> Path:
        rows = sum(lengths)
        pixels = np.zeros((rows, 6, 8, 3), np.uint8)
        pixels[:] = np.arange(rows, dtype=np.uint8)[:, None, None, None]
        pixels[..., 1] = np.arange(6, dtype=np.uint8)[:, None]
        action = np.stack([np.arange(rows), 100.0 + np.arange(rows)], axis=1)
        ends = np.cumsum(lengths)
        action[ends - 1] = np.nan
        given = {
            "pixels": pixels,
            "action": action,
            "state": np.arange(rows)[:, None] * 10.0,
            "ep_len": np.array(lengths),
            "ep_offset": ends - np.array(lengths),
        } | columns
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.h5"
        with h5py.File(path, "w") as file:
            for name, values in given.items():
                if values is not None:
                    file[name] = values
        return path

    return write
