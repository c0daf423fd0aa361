import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.callbacks import feature_rows
from jepa_lightning.callbacks.feature_rows import Rows, RowWriter


def read(rows: Rows, name: str) -> Any:
    return np.concatenate(list(rows.columns()[name].parts()))


def places(*indices: int, loader: int = 0) -> torch.Tensor:
    return torch.tensor([[loader, index] for index in indices]).view(-1, 2)


@pytest.mark.parametrize("part", [2**24, 16])
def test_rows_of_ranks_are_put_in_order_and_repeats_dropped(tmp_path: Path, monkeypatch: Any, part: int) -> None:
    monkeypatch.setattr(feature_rows, "PART", part)
    for rank, batches in enumerate(([[0, 2], [4, -1]], [[1, 3], [0]], [])):
        writer = RowWriter(tmp_path, rank)
        for batch in batches:
            values = torch.tensor(batch, dtype=torch.float32)
            writer.append({"features": torch.stack([values, -values], 1)}, places(*batch), [f"{i}" for i in batch])
        writer.save()
    rows = Rows(tmp_path, 3)
    assert len(rows) == 5
    assert rows.indices.tolist() == [0, 1, 2, 3, 4]
    assert rows.paths == ["0", "1", "2", "3", "4"]
    assert read(rows, "features").tolist() == [[i, -i] for i in range(5)]


def test_one_rank_keeps_its_order_and_its_repeats(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path, 0)
    writer.append({"features": torch.arange(4.0)[:, None]}, places(3, 1, 3, -1), ())
    writer.save()
    rows = Rows(tmp_path, 1)
    assert rows.indices.tolist() == [3, 1, 3]
    assert read(rows, "features").tolist() == [[0], [1], [2]]
    assert rows.paths == []


def test_loaders_follow_each_other(tmp_path: Path) -> None:
    for rank in range(2):
        writer = RowWriter(tmp_path, rank)
        for loader in range(2):
            writer.append({"x": torch.tensor([10.0 * loader + rank])}, places(rank, loader=loader), ())
        writer.save()
    rows = Rows(tmp_path, 2)
    assert (rows.loaders.tolist(), rows.indices.tolist()) == ([0, 0, 1, 1], [0, 1, 0, 1])
    assert read(rows, "x").tolist() == [0, 1, 10, 11]


def test_a_column_that_a_batch_or_a_rank_lacks_is_unlabeled_there(tmp_path: Path) -> None:
    batches: list[list[dict[str, Any]]] = [[{}, {"a": 1}, {}, {"b": 0.5}], [{"multi": [[0, 1]]}]]
    for rank, columns in enumerate(batches):
        writer = RowWriter(tmp_path, rank)
        for i, column in enumerate(columns):
            named = {
                name: torch.tensor(value).view(1, *torch.tensor(value).shape[1:]) for name, value in column.items()
            }
            writer.append({"x": torch.zeros(1), **named}, places(4 * rank + i), ())
        writer.save()
    rows = Rows(tmp_path, 2)
    assert read(rows, "a").tolist() == [-1, 1, -1, -1, -1]
    np.testing.assert_array_equal(read(rows, "b"), np.array([math.nan] * 3 + [0.5, math.nan], np.float32))
    assert read(rows, "multi").tolist() == [[-1, -1]] * 4 + [[0, 1]]


def test_rows_of_another_form_are_refused_within_a_rank_and_between_ranks(tmp_path: Path) -> None:
    for rank, width in enumerate((2, 3)):
        writer = RowWriter(tmp_path, rank)
        writer.append({"x": torch.zeros(1, width)}, places(rank), ())
        writer.save()
    with pytest.raises(ValueError, match=r"x is float32 \[4\] in one batch and float32 \[3\] in those before"):
        writer.append({"x": torch.zeros(1, 4)}, places(2), ())
    with pytest.raises(ValueError, match=r"x is float32 \[3\] on one device and float32 \[2\] on another"):
        Rows(tmp_path, 2)


def test_names_that_are_no_names_of_files(tmp_path: Path) -> None:
    writer = RowWriter(tmp_path, 0)
    writer.append({"labels/../a/ü": torch.zeros(1), "labels/ ": torch.ones(1)}, places(0), ())
    writer.save()
    assert read(Rows(tmp_path, 1), "labels/ ").tolist() == [1]


def test_ranks_without_any_row(tmp_path: Path) -> None:
    for rank in range(2):
        RowWriter(tmp_path, rank).save()
    assert len(Rows(tmp_path, 2)) == 0


@pytest.mark.parametrize("noted", [0, 1])
def test_rows_after_the_last_note_of_a_run_that_was_killed_are_written_again(tmp_path: Path, noted: int) -> None:
    batches: list[tuple[dict[str, torch.Tensor], torch.Tensor]] = [
        ({"x": torch.full((2, 3), float(i)), **({"late": torch.tensor([i, i])} if i else {})}, places(2 * i, 2 * i + 1))
        for i in range(3)
    ]
    killed = RowWriter(tmp_path, 0, resume=True)
    for i, (columns, indices) in enumerate(batches[:2]):
        if i == noted and noted:
            killed.save()
        killed.append(columns, indices, ())
    resumed = RowWriter(tmp_path, 0, resume=True)
    assert len(resumed) == 2 * noted
    for columns, indices in batches[noted:]:
        resumed.append(columns, indices, ())
    resumed.save()
    rows = Rows(tmp_path, 1)
    assert rows.indices.tolist() == [0, 1, 2, 3, 4, 5]
    assert read(rows, "x")[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert read(rows, "late").tolist() == [-1, -1, 1, 1, 2, 2]


def test_rows_are_on_the_disk_before_the_note_that_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, synced = os.fsync, []

    def fsync(number: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{number}")).name)
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    writer = RowWriter(tmp_path, 0, resume=True)
    writer.append({"x": torch.zeros(1)}, places(0), ())
    writer.save(reached=7)
    assert synced[:3] == ["0.0", "0.1", "0.json"]
    assert RowWriter(tmp_path, 0, resume=True).reached == 7
