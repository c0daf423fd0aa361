import os
from pathlib import Path

import pytest
from PIL import Image

from jepa_lightning.data import ImageFolderDataModule, ShapesDataModule, StreamingImageDataModule
from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.pipelines import Pipeline, eval_view
from jepa_lightning.data.shards.plan import plan_shards
from jepa_lightning.data.shards.writer import write_shards
from jepa_lightning.evaluation.fingerprints import data_fingerprint

VIEW = eval_view((32, 32), (0.5,) * 3, (0.5,) * 3)


def found(data: JEPADataModule, **options: int) -> str:
    data.setup("fit")
    return data_fingerprint(data.val_dataloader(), options)


def scenes(**options: int) -> ShapesDataModule:
    return ShapesDataModule(
        **{"num_train": 8, "num_val": 8, "image_size": 32, "num_workers": 0, **options}, pipeline=Pipeline(VIEW, VIEW)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / "files" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("RGB", (32, 32), (20 * i, 0, 0)).save(tmp_path / "files" / name / f"{i}.png")
    return tmp_path / "files"


def test_the_same_data_have_the_same_fingerprint() -> None:
    assert found(scenes()) == found(scenes())


@pytest.mark.parametrize("change", [{"num_val": 9}, {"seed": 1}, {"image_size": 40}])
def test_other_data_have_another(change: dict[str, int]) -> None:
    assert found(scenes(**change)) != found(scenes())


def test_other_options_have_another() -> None:
    assert found(scenes(), clips=1) != found(scenes(), clips=2)


def test_a_file_that_was_written_again_is_noticed(folder: Path) -> None:
    def now() -> str:
        return found(ImageFolderDataModule(folder, val_fraction=0.5, num_workers=0, pipeline=Pipeline(VIEW, VIEW)))

    before = now()
    assert now() == before
    for path in folder.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    assert now() != before


def test_other_shards_are_noticed(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("litdata", reason="needs the extra streaming")

    def now(name: str) -> str:
        data = ImageFolderDataModule(folder, val_fraction=0.5, num_workers=0)
        write_shards(plan_shards(data), tmp_path / name)
        return found(StreamingImageDataModule(tmp_path / name, num_workers=0, pipeline=Pipeline(VIEW, VIEW)))

    before = now("first")
    assert now("first") == now("same") == before
    (folder / "a" / "0.png").rename(folder / "a" / "renamed.png")
    assert now("renamed") != before
