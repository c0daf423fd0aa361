from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jepa_lightning.data.trajectories import parquet as reader
from jepa_lightning.data.trajectories.parquet import read_columns

pa = pytest.importorskip("pyarrow", reason="needs the extra lerobot")
from pyarrow import parquet  # noqa: E402


def test_single_numbers_and_lists_of_them_in_several_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    values = np.arange(14.0).reshape(7, 2)
    columns = {
        "index": pa.array(range(7)),
        "list": pa.array(values.tolist(), pa.list_(pa.float32())),
        "fixed": pa.array(values.tolist(), pa.list_(pa.float64(), 2)),
        "open": pa.array([True, False] * 3 + [True]),
    }
    parquet.write_table(pa.table(columns), path, row_group_size=3)
    found = read_columns(path, list(columns))
    np.testing.assert_array_equal(found["index"], np.arange(7)[:, None])
    np.testing.assert_array_equal(found["list"], values)
    np.testing.assert_array_equal(found["fixed"], values)
    np.testing.assert_array_equal(found["open"][:2, 0], [1, 0])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1.0], [1.0, 2.0]]),
        pa.array([[1.0], None]),
        pa.array([[1.0], [None]]),
        pa.array([1.0, None]),
        pa.array(["a", "b"]),
        pa.array([[], []], pa.list_(pa.float32())),
        pa.array([[[1.0]], [[2.0]]]),
    ],
    ids=str,
)
def test_columns_that_are_no_table_of_numbers(tmp_path: Path, column: Any) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"x": column}), path)
    with pytest.raises(ValueError, match=r"the column 'x' is .* and must have equally many numbers a row"):
        read_columns(path, ["x"])


def test_tables_that_do_not_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"x": pa.array(range(1000))}), path)
    monkeypatch.setattr(reader, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="its rows have more than 100 bytes"):
        read_columns(path, ["x"])
