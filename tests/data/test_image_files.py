import io
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from jepa_lightning.data.image_files import ImageFile, ImageFiles, find_images, read_rgb


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.new("RGB", (8, 6), "red")).save(path, **options)  # type: ignore[arg-type]
    return path


def pixel(path: Path) -> tuple[int, ...]:
    image = read_rgb(path)
    assert image.mode == "RGB"
    assert image.size == (8, 6)
    colour = image.getpixel((0, 0))
    assert isinstance(colour, tuple)
    return tuple(int(value) for value in colour)


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
        files.append(ImageFile(path.name, None))
    return ImageFiles(root, files, [], max_bad_share)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "webp", "bmp", "gif", "tif", "TIFF"])
def test_formats_become_rgb(tmp_path: Path, suffix: str) -> None:
    red, green, blue = pixel(save(tmp_path / f"image.{suffix}"))
    assert red > 245
    assert green < 10
    assert blue < 10


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA", "I;16", "I"])
def test_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    grey = Image.new("RGB", (8, 6), (255, 255, 255))
    image = Image.new(mode, (8, 6), 65535) if mode.startswith("I") else grey.convert(mode)
    suffix = {"CMYK": "jpg", "YCbCr": "jpg", "I": "tif"}.get(mode, "png")
    assert pixel(save(tmp_path / f"image.{suffix}", image)) == pytest.approx((255, 255, 255), abs=3)


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    path = save(
        tmp_path / "image.png", Image.new("RGB", (8, 6), (10, 200, 30)).convert("P", palette=Image.Palette.ADAPTIVE)
    )
    with Image.open(path) as file:
        assert file.mode == "P"
    assert pixel(path) == (10, 200, 30)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_to_8(tmp_path: Path, suffix: str) -> None:
    ramp = (np.arange(48, dtype=np.uint16) * 1394).reshape(6, 8)
    path = save(tmp_path / f"image.{suffix}", Image.fromarray(ramp))
    assert np.abs(np.asarray(read_rgb(path))[..., 0] - ramp / 257.0).max() <= 1


def test_big_endian_16_bits_are_scaled_to_8(tmp_path: Path) -> None:
    path = save(tmp_path / "image.tif", Image.frombytes("I;16B", (8, 6), b"\x80\x00" * 48))
    assert pixel(path) == (127, 127, 127)


def test_transparency_lies_on_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", (8, 6), (255, 0, 0, 127))
    assert pixel(save(tmp_path / "half.png", half)) == pytest.approx((255, 128, 128), abs=1)
    assert pixel(save(tmp_path / "grey.png", Image.new("LA", (8, 6), (0, 0)))) == (255, 255, 255)
    black = Image.new("P", (8, 6), 0)
    black.putpalette([0, 0, 0, 255, 0, 0])
    assert pixel(save(tmp_path / "key.png", black, transparency=0)) == (255, 255, 255)
    assert pixel(save(tmp_path / "other.png", black, transparency=1)) == (0, 0, 0)
    assert pixel(save(tmp_path / "rgb.png", transparency=(255, 0, 0))) == (255, 255, 255)
    assert pixel(save(tmp_path / "l.png", Image.new("L", (8, 6), 7), transparency=7)) == (255, 255, 255)
    assert pixel(save(tmp_path / "16.png", Image.new("I;16", (8, 6), 700), transparency=700))[0] in (2, 255)


def test_orientation_is_honoured(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 6))
    image.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    upright = read_rgb(save(tmp_path / "image.png", image, exif=exif))
    assert upright.size == (6, 8)
    assert upright.getpixel((5, 0)) == (255, 255, 255)


def test_hidden_files_and_folders_and_other_suffixes_are_ignored(tmp_path: Path) -> None:
    for name in ("a/1.PNG", "a/deep/er/2.jpg", "b/3.webp", "b/._3.png", ".trash/4.png", "a/.cache/5.png"):
        save(tmp_path / name) if "._" not in name else (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "notes.txt").write_text("none")
    assert find_images(tmp_path, tmp_path) == [("a/1.PNG", "a"), ("a/deep/er/2.jpg", "a"), ("b/3.webp", "b")]


def test_linked_folders_are_followed(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "root").mkdir()
    os.symlink(tmp_path / "elsewhere", tmp_path / "root" / "a")
    assert find_images(tmp_path / "root", tmp_path / "root") == [("a/1.png", "a")]


def test_images_beside_folders_make_all_unlabelled_and_say_so(tmp_path: Path) -> None:
    for name in ("1.png", "a/2.png"):
        save(tmp_path / name)
    with pytest.warns(UserWarning, match=re.escape(f"{tmp_path / '1.png'} lies beside folders")):
        assert find_images(tmp_path, tmp_path) == [("1.png", None), ("a/2.png", None)]


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no folder {tmp_path / 'none'}")):
        find_images(tmp_path, tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=re.escape(f"there are no images in {tmp_path}")):
        find_images(tmp_path, tmp_path)


def test_a_sample_is_image_class_and_path(tmp_path: Path) -> None:
    save(tmp_path / "val" / "b" / "1.png")
    image, label, path = ImageFiles(tmp_path, [ImageFile("val/b/1.png", "b")], ["a", "b"])[0] or (None, None, None)
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


def test_an_image_too_large_to_be_true_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = folder(tmp_path, good=2, bad=0, max_bad_share=0.5)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.warns(UserWarning, match="decompression bomb"):
        assert files[0] is None


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
