import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jepa_lightning.data import CocoDataModule
from jepa_lightning.data.pipelines import Pipeline, eval_view, masked_image_pipeline
from jepa_lightning.masking import RandomMask


def write(folder: Path, split: str, number: int, ids: Any = None) -> None:
    """Dark images of several sizes, with a bright square in all but every fourth, and a crowd on its right."""
    images, boxes = [], []
    for i in range(number):
        height, width, size = 30 + 2 * (i % 3), 40 + 4 * i, 10 + i % 4
        pixels = np.zeros((height, width, 3), np.uint8)
        if i % 4:
            pixels[5 : 5 + size, 12 : 12 + size] = 255
            category = (ids or {"cat": 4, "dog": 7})[("cat", "dog")[i % 2]]
            boxes.append({"image_id": i, "category_id": category, "bbox": [12, 5, size, size]})
            boxes.append({"image_id": i, "category_id": category, "bbox": [width - 9, 0, 9, height], "iscrowd": 1})
        (folder / split).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / split / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": width, "height": height})
    categories = [{"id": number, "name": name} for name, number in (ids or {"cat": 4, "dog": 7}).items()]
    found = {"images": images, "annotations": boxes, "categories": categories}
    (folder / f"{split}.json").write_text(json.dumps(found))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "train", 12)
    write(tmp_path, "val", 6, {"dog": 1, "cat": 2})  # ids and order of their own
    return tmp_path


def built(folder: Path, val: str | None = "val", pipeline: Pipeline | None = None, **options: Any) -> CocoDataModule:
    view = eval_view((24, 24))
    others = {} if val is None else {"val": folder / f"{val}.json", "val_root": folder / val}
    data = CocoDataModule(
        folder / "train", folder / "train.json", **others, batch_size=6, num_workers=0,
        pipeline=pipeline or Pipeline(view, view), **options,
    )  # fmt: skip
    data.setup()
    return data


def edited(folder: Path, split: str, change: Any) -> None:
    path = folder / f"{split}.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def test_boxes_are_those_of_the_view_with_the_same_classes_in_both_files(folder: Path) -> None:
    data = built(folder)
    assert (data.box_names, data.num_classes, data.num_samples) == (("cat", "dog"), 0, 12)
    [batch] = data.val_dataloader()
    boxes, classes, crowds = (batch.extras[name] for name in ("boxes", "box_classes", "box_crowds"))
    assert boxes.shape == (6, 2, 4)
    for i in range(6):
        bright = batch.views[0][i, 0] > 1  # between -2.1 and 2.2
        if i % 4 == 0:
            assert (classes[i] == -1).all()
            assert boxes[i].isnan().all()
            assert not crowds[i].any()
            continue
        assert classes[i, 0] == i % 2  # cat is 0 in the training file
        assert crowds[i].tolist() == [False, True]
        rows, columns = bright.nonzero().T
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert all(abs(float(found) - float(edge)) <= 1 for found, edge in zip(boxes[i, 0], edges, strict=True))
        # a crowd at the right edge is outside of a crop of the middle, or cut by it
        assert boxes[i, 1].isnan().all() == (classes[i, 1] == -1)


def test_training_views_cut_and_mirror_boxes(folder: Path) -> None:
    pipeline = masked_image_pipeline((24, 24), RandomMask((3, 3), 0.5), (0.6, 1.0), flip=True)
    batch = next(iter(built(folder, pipeline=pipeline).train_dataloader()))
    for view, boxes, classes in zip(batch.views[0], batch.extras["boxes"], batch.extras["box_classes"], strict=True):
        if classes[0] < 0:
            continue
        left, top, right, bottom = boxes[0].round().int().tolist()
        assert (view[0, top + 1 : bottom - 1, left + 1 : right - 1] > 1).all()


def test_a_share_validates_where_there_is_no_other_file(folder: Path) -> None:
    data = built(folder, val=None, val_fraction=0.25)
    assert (len(data.train_set), len(data.val_set)) == (9, 3)
    names = [[found[2] for found in (split[i] for i in range(len(split)))] for split in (data.train_set, data.val_set)]
    assert sorted([*names[0], *names[1]]) == sorted(f"{i}.png" for i in range(12))
    assert names != [[f"{i}.png" for i in range(9)], [f"{i}.png" for i in range(9, 12)]]
    assert len(next(iter(data.predict_dataloader())).extras["boxes"]) == 6


def test_an_image_of_another_size_than_the_file_says_is_left_out_with_a_warning(folder: Path) -> None:
    Image.new("RGB", (9, 8)).save(folder / "train" / "3.png")
    data = built(folder, max_bad_share=0.5)
    with pytest.warns(UserWarning, match=r"3\.png, left out: it has 9 x 8 pixels, and train\.json says 52 x 30"):
        assert data.train_set[3] is None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: f["categories"].append({"id": 9, "name": "owl"}), ValueError, "val.json has the category 'owl'"),
        (lambda f: f["images"].append({**f["images"][0], "id": 77, "file_name": "x.png"}), FileNotFoundError,
         r"1 of 7 images of .*val\.json are missing, such as .*x\.png: give the folder"),
        (lambda f: f.update(images=[], annotations=[]), ValueError, r"val\.json has no images"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_refused(folder: Path, change: Any, error: Any, message: str) -> None:
    edited(folder, "val", change)
    with pytest.raises(error, match=message):
        built(folder)


def test_options_that_do_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        CocoDataModule(folder / "none", folder / "train.json").setup()
    with pytest.raises(FileNotFoundError, match="there is no file of annotations"):
        CocoDataModule(folder / "train", folder / "none.json").setup()
    with pytest.raises(ValueError, match="val_root=x is for a file of validation images"):
        CocoDataModule(folder, "train.json", val_root="x")
    with pytest.raises(ValueError, match="read as RGB: leave in_channels out"):
        CocoDataModule(folder, "train.json", in_channels=4)
    edited(folder, "train", lambda found: found.update(images=found["images"][:1], annotations=[]))
    with pytest.raises(ValueError, match="has one image"):
        built(folder, val=None)
