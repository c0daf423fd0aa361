import io
import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from jepa_lightning.data.file_walk import MediaFile, find_files
from jepa_lightning.data.images.files import IMAGE_EXTENSIONS, ImageFiles


def save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6)).save(path)
    return path


def find(root: Path) -> list[MediaFile]:
    return find_files(root, root, IMAGE_EXTENSIONS, "images")


def half_red_jpeg() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    return file.getvalue()[: len(file.getvalue()) // 2]


def folder(root: Path, good: int, bad: int, max_bad_share: float) -> ImageFiles:
    """Readable files, then broken ones."""
    files = []
    for i in range(good + bad):
        path = save(root / f"{i:02}.png")
        if i >= good:
            path.write_bytes(path.read_bytes()[:40])
        files.append(MediaFile(path.name, None))
    return ImageFiles(root, files, [], max_bad_share)


@pytest.mark.filterwarnings("ignore:1 files in")
def test_hidden_files_and_folders_and_other_suffixes_are_ignored(tmp_path: Path) -> None:
    for name in ("a/1.PNG", "a/deep/er/2.jpg", "b/3.webp", "b/._3.png", ".trash/4.png", "a/.cache/5.png"):
        save(tmp_path / name) if "._" not in name else (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_text("none")
    assert find(tmp_path) == [("a/1.PNG", "a"), ("a/deep/er/2.jpg", "a"), ("b/3.webp", "b")]


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "root").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "root" / "a")
    assert find(tmp_path / "root") == [("a/1.png", "a")]


def test_images_beside_folders_make_all_unlabeled_and_say_so(tmp_path: Path) -> None:
    for name in ("1.png", "a/2.png"):
        save(tmp_path / name)
    with pytest.warns(UserWarning, match=re.escape(f"{tmp_path / '1.png'} lies beside folders")):
        assert find(tmp_path) == [("1.png", None), ("a/2.png", None)]


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no folder {tmp_path / 'none'}")):
        find_files(tmp_path, tmp_path / "none", IMAGE_EXTENSIONS, "images")
    with pytest.raises(FileNotFoundError, match=re.escape(f"there are no images in {tmp_path}")):
        find(tmp_path)


def test_a_sample_is_image_class_and_path(tmp_path: Path) -> None:
    save(tmp_path / "val" / "b" / "1.png")
    image, label, path = ImageFiles(tmp_path, [MediaFile("val/b/1.png", "b")], ["a", "b"])[0] or (None, None, None)
    assert isinstance(image, Image.Image)
    assert (label, path) == (1, "val/b/1.png")


@pytest.mark.parametrize("content", [b"", b"no image", half_red_jpeg(), b"\x89PNG\r\n\x1a\n" + b"\0" * 50])
def test_broken_files_are_none_and_named_once(tmp_path: Path, content: bytes) -> None:
    files = folder(tmp_path, good=3, bad=1, max_bad_share=0.5)
    (tmp_path / "03.png").write_bytes(content)
    with pytest.warns(UserWarning, match=f"cannot read {tmp_path / '03.png'}, left out: "):
        assert files[3] is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert files[3] is None
    assert files[0] is not None
    assert files.bad.tolist() == [False, False, False, True]


def test_too_many_broken_files_are_an_error_with_count_and_names(tmp_path: Path) -> None:
    files = folder(tmp_path, good=6, bad=4, max_bad_share=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(9):
            files[i]  # three of ten are allowed
        with pytest.raises(
            RuntimeError, match=r"4 of 10 images .* max_bad_share 0.3 allows: 06.png, 07.png, 08.png, \.\.\."
        ):
            files[9]


@pytest.mark.filterwarnings("ignore:cannot read")
def test_workers_share_the_account_of_broken_files(tmp_path: Path) -> None:
    files = folder(tmp_path, good=7, bad=3, max_bad_share=0.5)
    samples = list(DataLoader(files, num_workers=2, batch_size=1, collate_fn=lambda batch: batch[0]))
    assert torch.tensor([sample is None for sample in samples]).equal(files.bad)
    assert int(files.bad.sum()) == 3


@pytest.mark.filterwarnings("ignore:cannot read")
def test_too_many_broken_files_for_workers_together_are_an_error(tmp_path: Path) -> None:
    """Each worker meets two of the four."""
    files = folder(tmp_path, good=6, bad=4, max_bad_share=0.3)
    with pytest.raises(RuntimeError, match="4 of 10 images"):
        list(DataLoader(files, num_workers=2, batch_size=1, collate_fn=lambda batch: batch[0]))


class Shared(torch.Tensor):
    """Refuses ``nonzero`` in the memory of one tensor, which other processes write to."""

    place = 0

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.nonzero:
            assert args[0].data_ptr() != cls.place
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.filterwarnings("ignore:cannot read")
def test_broken_files_are_listed_from_a_copy_that_no_other_worker_writes_to(tmp_path: Path) -> None:
    files = folder(tmp_path, good=6, bad=4, max_bad_share=0.3)
    Shared.place = files.bad.data_ptr()
    files.bad = files.bad.as_subclass(Shared)
    with pytest.raises(RuntimeError, match="4 of 10 images"):
        [files[i] for i in range(10)]
