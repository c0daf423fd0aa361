import re
from pathlib import Path

import pytest
from PIL import Image

from jepa_lightning.data import ImageFolderDataModule, masked_image_pipeline
from jepa_lightning.data.image_files import ImageFiles
from jepa_lightning.masking import MultiBlockMask


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10, 8), "red").save(root / name)
    return root


def many(prefix: str, count: int) -> list[str]:
    return [f"{prefix}/{i:02}.png" for i in range(count)]


def set_up(root: Path, **options: float) -> ImageFolderDataModule:
    data = ImageFolderDataModule(root, **options)  # type: ignore[arg-type]
    data.setup()
    return data


def samples(data: ImageFolderDataModule, split: str) -> list[tuple[int | None, str]]:
    source = getattr(data, f"{split}_set")
    return [source[i][1:] for i in range(len(source))]


def test_folders_train_and_val_are_the_split_and_test_is_ignored(tmp_path: Path) -> None:
    fill(tmp_path, "train/cat/1.png", "train/dog/2.jpg", "train/dog/more/3.jpg", "val/dog/4.png", "test/cow/5.png")
    data = set_up(tmp_path)
    assert samples(data, "train") == [(0, "train/cat/1.png"), (1, "train/dog/2.jpg"), (1, "train/dog/more/3.jpg")]
    assert samples(data, "val") == [(1, "val/dog/4.png")]
    assert data.class_names == ("cat", "dog")
    assert data.num_classes == 2
    assert data.num_samples == 3


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_without_a_folder_val_a_share_of_each_class_validates(tmp_path: Path, prefix: str) -> None:
    names = [f"{prefix}{name}" for name in (*many("a", 40), *many("b", 20), *many("c", 2), "d/1.png")]
    fill(tmp_path, *names)
    data = set_up(tmp_path, val_fraction=0.2)
    train, val = samples(data, "train"), samples(data, "val")
    assert sorted(path for _, path in train + val) == sorted(names)
    assert [sum(label == i for label, _ in val) for i in range(4)] == [8, 4, 1, 0]
    assert all(data.class_names[label or 0] == path.removeprefix(prefix)[0] for label, path in train + val)


def test_the_split_follows_from_its_seed(tmp_path: Path) -> None:
    fill(tmp_path, *many("a", 20), *many("b", 20))
    first = samples(set_up(tmp_path), "val")
    assert samples(set_up(tmp_path), "val") == first
    assert samples(set_up(tmp_path, seed=1), "val") != first
    assert {path[2:] for label, path in first if label} != {path[2:] for label, path in first if not label}


def test_classes_whose_names_begin_alike_stay_apart(tmp_path: Path) -> None:
    fill(tmp_path, *many("a", 10), *many("a-b", 10), *many("a b", 10))
    data = set_up(tmp_path)
    assert data.class_names == ("a", "a b", "a-b")
    assert [label for label, _ in samples(data, "val")] == [1, 2, 0]


def test_images_without_folders_are_unlabelled(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{i}.png" for i in range(10)))
    data = set_up(tmp_path)
    assert data.num_classes == 0
    assert {label for label, _ in samples(data, "train") + samples(data, "val")} == {None}
    assert data.num_samples == 9


@pytest.mark.filterwarnings("ignore:cannot read")
def test_batches_leave_broken_files_out(tmp_path: Path) -> None:
    fill(tmp_path, *many("train/a", 8), *many("val/a", 4))
    (tmp_path / "val/a/02.png").write_bytes(b"broken")
    pipeline = masked_image_pipeline((8, 8), MultiBlockMask((4, 4), min_keep=1))
    data = ImageFolderDataModule(tmp_path, max_bad_share=0.1, batch_size=4, num_workers=1, pipeline=pipeline)
    data.setup()
    (batch,) = data.val_dataloader()
    assert batch.paths == ("val/a/00.png", "val/a/01.png", "val/a/03.png")
    assert batch.views[0].shape == (3, 3, 8, 8)
    files = data.train_set.dataset  # type: ignore[attr-defined]
    assert isinstance(files, ImageFiles)
    assert int(files.bad.sum()) == 1


def test_unlabelled_batches_have_no_labels(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png")
    pipeline = masked_image_pipeline((8, 8), MultiBlockMask((4, 4), min_keep=1))
    data = ImageFolderDataModule(tmp_path, batch_size=4, num_workers=0, pipeline=pipeline)
    data.setup()
    (batch,) = data.val_dataloader()
    assert batch.labels is None


@pytest.mark.parametrize("missing", ["", "train", "val"])
def test_missing_and_empty_folders_are_named(tmp_path: Path, missing: str) -> None:
    root = tmp_path / "images"
    if missing:
        fill(root, "train/a/1.png", "val/a/2.png")
        for file in (root / missing).rglob("*.png"):
            file.unlink()
        message = f"there are no images in {root / missing}"
    else:
        message = f"there is no folder {root}"
    with pytest.raises(FileNotFoundError, match=re.escape(message)):
        set_up(root)


def test_a_validation_class_that_training_lacks_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "train/a/1.png", "val/a/2.png", "val/b/3.png")
    message = f"{tmp_path / 'val/b/3.png'} is for validation, and of the class 'b', which training lacks"
    with pytest.raises(ValueError, match=re.escape(message)):
        set_up(tmp_path)


def test_too_few_images_to_split_are_an_error(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "b/2.png")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} has no class with two images")):
        set_up(tmp_path)
