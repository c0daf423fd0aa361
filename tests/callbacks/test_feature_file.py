import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from jepa_lightning.callbacks.feature_file import Column, write_columns

ARRAYS = {
    "features": np.random.default_rng(0).standard_normal((7, 5), dtype=np.float32),
    "labels/ü": np.arange(7),
    "tokens": np.ones((7, 2, 3), np.float32),
    "empty": np.zeros((7, 0), np.float32),
}
TEXTS = {"paths": [f"ü {i}\udcff.png" for i in range(7)], "class_names": ["cat", ""]}


def columns(arrays: dict[str, Any], step: int = 3) -> dict[str, Column]:
    def parts(array: Any) -> Any:
        return lambda: (array[i : i + step] for i in range(0, len(array), step))

    return {name: Column(str(a.dtype), a.shape[1:], parts(a)) for name, a in arrays.items()}


def test_numpy_reads_a_npz(tmp_path: Path) -> None:
    write_columns(tmp_path / "f.npz", 7, columns(ARRAYS), TEXTS)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as file:
        found = {name: file[name] for name in file}
    assert found.keys() == {*ARRAYS, *TEXTS}
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert {name: found[name].tolist() for name in TEXTS} == TEXTS


def test_safetensors_reads_what_it_would_have_written(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    write_columns(path, 7, columns(ARRAYS), TEXTS)
    found = load_file(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    with safe_open(path, "np") as file:
        assert {name: json.loads(text) for name, text in file.metadata().items()} == TEXTS


def test_a_safetensors_file_has_the_length_of_the_librarys(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(3, 2), "b": np.arange(3)}
    write_columns(tmp_path / "own.safetensors", 3, columns(arrays), {})
    save_file(arrays, tmp_path / "library.safetensors", metadata={})
    own, library = ((tmp_path / f"{name}.safetensors").read_bytes() for name in ("own", "library"))
    assert own[int.from_bytes(own[:8], "little") + 8 :][:24] == arrays["a"].tobytes()
    assert len(own) % 8 == len(library) % 8 == 0


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_fault_in_the_middle_leaves_what_was_there_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    def fail() -> Any:
        yield ARRAYS["features"][:3]
        raise OSError(28, "No space left on device")

    path = tmp_path / f"f.{suffix}"
    path.write_text("good")
    with pytest.raises(OSError, match="No space left"):
        write_columns(path, 7, {"features": Column("float32", (5,), fail)}, {})
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]
