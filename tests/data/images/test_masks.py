from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jepa_lightning.data import MaskFolderDataModule
from jepa_lightning.data.pipelines import Pipeline, eval_view


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Dark images with a bright right half, which is class 2; sizes differ."""
    for i in range(12):
        split = "train" if i < 8 else "val"
        width = 40 + 4 * i
        image, mask = np.zeros((30, width, 3), np.uint8), np.zeros((30, width), np.uint8)
        image[:, width // 2 :], mask[:, width // 2 :] = 200, 2
        for kind, values in (("images", image), ("masks", mask)):
            path = tmp_path / kind / split / (f"{i}.jpg" if kind == "images" else f"{i}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values).save(path)
    return tmp_path


def built(folder: Path, **options: Any) -> MaskFolderDataModule:
    view = eval_view((24, 32))
    data = MaskFolderDataModule(folder, batch_size=4, num_workers=0, pipeline=Pipeline(view, view), **options)
    data.setup()
    return data


def test_images_come_with_masks_of_their_views(folder: Path) -> None:
    data = built(folder)
    assert (len(data.train_set), len(data.val_set), data.num_classes) == (8, 4, 0)
    batch = next(iter(data.val_dataloader()))
    assert batch.views[0].shape == (4, 3, 24, 32)
    assert batch.extras["mask"].shape == (4, 24, 32)
    assert batch.labels is None
    bright = batch.views[0][:, 0] > 0
    assert ((batch.extras["mask"] == 2) == bright).float().mean() > 0.95


def test_an_image_without_a_mask_is_refused(folder: Path) -> None:
    (folder / "masks" / "train" / "3.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 12 images have no mask, such as .*3\.png"):
        built(folder)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (Image.new("RGB", (40, 30)), "has PIL's mode RGB"),
        (Image.new("L", (9, 9)), "9 x 9 pixels, and the image 40 x 30"),
    ],
)
def test_a_mask_that_is_none_is_left_out_with_a_warning(folder: Path, mask: Image.Image, message: str) -> None:
    mask.save(folder / "masks" / "train" / "0.png")
    data = built(folder, max_bad_share=0.5)
    with pytest.warns(UserWarning, match=message):
        assert data.train_set[0] is None


def test_a_palette_holds_classes(folder: Path) -> None:
    found = Image.open(folder / "masks" / "train" / "0.png").convert("P")
    found.putdata([1] * (40 * 30))
    found.save(folder / "masks" / "train" / "0.png")
    assert built(folder).train_set[0].extras["mask"].unique().tolist() == [1]
