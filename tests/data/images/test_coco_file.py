import json
import re
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.data.images.coco_file import read_coco


def content() -> dict[str, Any]:
    return {
        "images": [
            {"id": 5, "file_name": "b/2.png", "width": 40, "height": 30},
            {"id": 3, "file_name": "1.png", "width": 20, "height": 30},
            {"id": 9, "file_name": "3.png", "width": 20, "height": 30},
        ],
        "annotations": [
            {"image_id": 3, "category_id": 8, "bbox": [1, 2, 3, 4]},
            {"image_id": 5, "category_id": 2, "bbox": [0.5, 0, 39.5, 30], "iscrowd": 1},
            {"image_id": 3, "category_id": 2, "bbox": [10, 20, 10.25, 10], "area": None, "segmentation": [[1]]},
        ],
        "categories": [{"id": 8, "name": "dog"}, {"id": 2, "name": "cat", "supercategory": "animal"}],
    }


def written(folder: Path, found: Any) -> Path:
    path = folder / "found.json"
    path.write_text(found if isinstance(found, str) else json.dumps(found))
    return path


def test_images_have_their_boxes_and_categories_the_order_of_their_ids(tmp_path: Path) -> None:
    found = read_coco(written(tmp_path, content()), 0)
    assert found.categories == ("cat", "dog")
    assert [image.path for image in found.images] == ["b/2.png", "1.png", "3.png"]
    parts = [slice(int(image.first), int(image.end)) for image in found.images]
    assert [found.boxes[part].tolist() for part in parts] == [
        [[0.5, 0, 40, 30]],
        [[1, 2, 4, 6], [10, 20, 20, 30]],  # a quarter of a pixel is cut off
        [],
    ]
    assert [found.classes[part].tolist() for part in parts] == [[0], [1, 0], []]
    assert found.crowds.tolist() == [True, False, False]


@pytest.mark.parametrize("bbox", [[0, 0, 0, 5], [0, 0, 5, -1], [15, 0, 6, 5], [-1, 0, 5, 5], [0, 29, 5, 2.5]])
def test_wrong_boxes_are_left_out_or_refused(tmp_path: Path, bbox: Any) -> None:
    wrong = content()
    wrong["annotations"][0]["bbox"] = bbox
    path = written(tmp_path, wrong)
    said = r"found\.json: 1 of 3 boxes are empty or reach out of their images, such as the bbox .* in the image 3"
    with pytest.raises(ValueError, match=f"{said}, more than max_bad_share 0.05 allows"):
        read_coco(path, 0.05)
    with pytest.warns(UserWarning, match=said):
        found = read_coco(path, 0.5)
    assert len(found.boxes) == 2
    assert [(image.first, image.end) for image in found.images] == [(0, 1), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("images", None, "has no list 'images'"),
        ("annotations", {}, "has no list 'annotations'"),
        ("categories", "cat", "has no list 'categories'"),
        ("images/1", "b.png", "images[1] has the id None: give an integer"),
        ("images/1/id", True, "images[1] has the id True"),
        ("images/1/id", 5, "two of the images have the id 5"),
        ("images/1/file_name", "b/2.png", "two of the images have the file_name 'b/2.png'"),
        ("images/1/file_name", "b//2.png", "two of the images have the file_name 'b/2.png'"),
        ("images/0/file_name", "../2.png", "images[0] has the file_name '../2.png', which leads out of the folder"),
        ("images/0/file_name", "b/../../2.png", "which leads out of the folder"),
        ("images/0/file_name", "/etc/passwd", "which leads out of the folder"),
        ("images/0/file_name", "", "images[0] has the file_name ''"),
        ("images/0/file_name", "a\0b", "images[0] has the file_name"),
        ("images/0/file_name", 7, "images[0] has the file_name 7"),
        ("images/0/width", 0, "images[0] is of 0 x 30 pixels"),
        ("images/0/height", 10**9, "images[0] is of 40 x 1000000000 pixels"),
        ("images/0/height", 30.5, "images[0] has the height 30.5"),
        ("categories/0/name", None, "categories[0] has the name None"),
        ("categories/0/name", "a\nb", "categories[0] has the name 'a\\nb'"),
        ("categories/0/name", "cat", "two of the categories have the name 'cat'"),
        ("annotations/1/image_id", 4, "annotations[1] is of the image 4, which is not among the images"),
        ("annotations/1/category_id", 1, "annotations[1] is of the category 1"),
        ("annotations/1/category_id", "cat", "annotations[1] has the category_id 'cat'"),
        ("annotations/1/bbox", None, "annotations[1] has the bbox None: give [x, y, width, height]"),
        ("annotations/1/bbox", [1, 2, 3], "annotations[1] has the bbox [1, 2, 3]"),
        ("annotations/1/bbox", [1, 2, 3, "4"], "annotations[1] has the bbox"),
        ("annotations/1/bbox", [1, 2, 3, 10**400], "annotations[1] has the bbox"),
        ("annotations/1/bbox", [1, 2, 3, True], "annotations[1] has the bbox"),
        ("annotations/1/iscrowd", 2, "annotations[1] has the iscrowd 2"),
        ("annotations/1/iscrowd", [], "annotations[1] has the iscrowd []"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, path: str, value: Any, message: str) -> None:
    found = content()
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    place: Any = found
    for part in way:
        place = place[part]
    place[last] = value
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_coco(written(tmp_path, found), 0.05)
    assert "found.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2", "\x00", '{"images": NaN}', '{"images": -Infinity}', "[" * 10**5, '{"images": [1e999]}', "3"],
)
def test_what_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"found\.json (cannot be read as JSON|has no list)"):
        read_coco(written(tmp_path, text), 0.05)


def test_bytes_that_are_no_text_and_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "found.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(ValueError, match="cannot be read as JSON"):
        read_coco(tmp_path / "found.json", 0.05)
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(FileNotFoundError, match="there is no file of annotations"):
            read_coco(path, 0.05)
