from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from jepa_lightning.data import ShapesDataModule
from jepa_lightning.data.pipelines import Pipeline, eval_view
from jepa_lightning.evaluation import feature_cache
from jepa_lightning.evaluation.feature_cache import Table, cached_table
from jepa_lightning.types import Batch


class Counting:
    """Means of the channels as features; stops at a batch that is given."""

    def __init__(self, last: int | None = None) -> None:
        self.batches, self.last = 0, last

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        if self.batches == self.last:
            raise KeyboardInterrupt
        self.batches += 1
        return {"mean": batch.views[0].mean(dim=(2, 3))}


@pytest.fixture
def loader() -> DataLoader[Batch]:
    view = eval_view((32, 32), (0.5,) * 3, (0.5,) * 3)
    data = ShapesDataModule(
        num_train=4, num_val=20, image_size=32, batch_size=8, num_workers=0, pipeline=Pipeline(view, view)
    )
    data.setup("fit")
    return data.val_dataloader()


def expected(loader: DataLoader[Batch]) -> tuple[Tensor, dict[str, Tensor]]:
    batches = list(loader)
    names = batches[0].labels
    return (
        torch.cat([batch.views[0].mean(dim=(2, 3)) for batch in batches]),
        {name: torch.cat([batch.labels[name] for batch in batches]) for name in names},
    )


def check(table: Table, loader: DataLoader[Batch]) -> None:
    features, labels = expected(loader)
    assert torch.equal(torch.tensor(table.features["mean"]), features)
    assert table.labels.keys() == labels.keys()
    for name, values in labels.items():
        assert torch.equal(table.labels[name], values)


def test_features_and_labels_are_those_of_the_loader_in_its_order(loader: DataLoader[Batch], tmp_path: Path) -> None:
    check(cached_table(tmp_path / "cache", loader, Counting(), "test"), loader)


def test_a_second_call_encodes_nothing(loader: DataLoader[Batch], tmp_path: Path) -> None:
    cached_table(tmp_path / "cache", loader, Counting(), "test")
    check(cached_table(tmp_path / "cache", loader, again := Counting(), "test"), loader)
    assert again.batches == 0


def test_a_call_that_was_stopped_is_continued(
    loader: DataLoader[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_cache, "SAVE_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        cached_table(tmp_path / "cache", loader, Counting(last=2), "test")
    check(cached_table(tmp_path / "cache", loader, rest := Counting(), "test"), loader)
    assert rest.batches == 1


@pytest.mark.parametrize("batch_size", [3, 8, 12])
def test_a_call_that_was_stopped_is_continued_in_batches_of_any_size(
    loader: DataLoader[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int
) -> None:
    monkeypatch.setattr(feature_cache, "SAVE_EVERY", 0.0)
    with pytest.raises(KeyboardInterrupt):
        cached_table(tmp_path / "cache", loader, Counting(last=1), "test")
    other = DataLoader(loader.dataset, batch_size, collate_fn=loader.collate_fn)
    check(cached_table(tmp_path / "cache", other, rest := Counting(), "test"), loader)
    assert rest.batches == -(-12 // batch_size)


@pytest.mark.parametrize("damage", ["cut", "gone", "no note", "a part of a note", "another note"])
@pytest.mark.parametrize("stopped", [True, False])
def test_files_that_a_disk_has_damaged_are_computed_again(
    loader: DataLoader[Batch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, stopped: bool
) -> None:
    monkeypatch.setattr(feature_cache, "SAVE_EVERY", 0.0)
    if stopped:
        with pytest.raises(KeyboardInterrupt):
            cached_table(tmp_path, loader, Counting(last=2), "test")
    else:
        cached_table(tmp_path, loader, Counting(), "test")
    rows, note = tmp_path / "0.1", tmp_path / "0.json"
    if damage == "cut":
        rows.write_bytes(rows.read_bytes()[:-1])
    elif damage == "gone":
        rows.unlink()
    elif damage == "no note":
        note.unlink()
    else:
        note.write_text(note.read_text()[:20] if damage == "a part of a note" else '{"rows": 3}')
    check(cached_table(tmp_path, loader, again := Counting(), "test"), loader)
    assert again.batches == 3
