import re
from pathlib import Path

import pytest
from PIL import Image

from jepa_lightning.data import ImageFolderDataModule, masked_image_pipeline
from jepa_lightning.data.images.files import ImageFiles
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
    with pytest.warns(UserWarning, match=f"{tmp_path / 'test'} will not be read, because there is "):
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


def test_images_without_folders_are_unlabeled(tmp_path: Path) -> None:
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


def test_unlabeled_batches_have_no_labels(tmp_path: Path) -> None:
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


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    fill(tmp_path, *many("bus", 4), *many("train", 4), *many("car", 4), *many("test", 4))
    data = set_up(tmp_path)
    assert data.class_names == ("bus", "car", "test", "train")
    assert len(samples(data, "train")) + len(samples(data, "val")) == 16


@pytest.mark.parametrize("split", ["train/{}.png", "train/a/{}.png"])
def test_a_folder_train_that_is_a_split_stays_one(tmp_path: Path, split: str) -> None:
    fill(tmp_path, *(split.format(i) for i in range(4)), split.format(9).replace("train", "val"))
    assert len(samples(set_up(tmp_path), "train")) == 4


@pytest.mark.parametrize("name", ["valid", "validation"])
def test_validation_has_other_names_too(tmp_path: Path, name: str) -> None:
    fill(tmp_path, *many("train/a", 4), *many(f"{name}/a", 3))
    data = set_up(tmp_path)
    assert (data.num_samples, len(samples(data, "val"))) == (4, 3)


def test_folders_beside_train_that_are_not_read_are_named(tmp_path: Path) -> None:
    fill(tmp_path, *many("train/a", 4), *many("val/a", 4), *many("valid/a", 3), *many("bus", 3))
    with pytest.warns(UserWarning, match=f"{tmp_path / 'bus'}, {tmp_path / 'valid'} will not be read"):
        set_up(tmp_path)


def test_a_file_called_train_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, *many("a", 4))
    (tmp_path / "train").write_text("a list")
    with pytest.raises(ValueError, match="train is not a folder"):
        set_up(tmp_path)


def test_numbers_as_names_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{i}/{k}.png" for i in range(12) for k in range(2)))
    data = set_up(tmp_path)
    assert data.class_names == tuple(str(i) for i in range(12))
    assert all(path.startswith(f"{label}/") for label, path in samples(data, "train"))


def test_the_home_folder_may_be_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path, *many("x/a", 4))
    assert set_up(Path("~/x")).num_samples == 3


def test_jpeg_files_are_decoded_at_a_scale_if_asked_to(tmp_path: Path) -> None:
    for name in many("cat", 10):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 48), "red").save((tmp_path / name).with_suffix(".jpg"))
    for min_side, size in ((None, (64, 48)), (24, (32, 24)), (25, (64, 48))):
        data = ImageFolderDataModule(tmp_path, min_side=min_side)
        data.setup()
        assert data.train_set[0][0].size == size
    with pytest.raises(ValueError, match="min_side=24 is for files that are read as RGB"):
        ImageFolderDataModule(tmp_path, min_side=24, in_channels=3)
