import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from jepa_lightning.data.file_walk import MediaFile
from jepa_lightning.data.images.files import ImageFiles, read_rgb


def save(path: Path, image: Image.Image | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or Image.new("RGB", (8, 6), "red")).save(path, **options)  # type: ignore[arg-type]
    return path


def pixel(path: Path) -> tuple[int, ...]:
    image = read_rgb(path)
    assert image.mode == "RGB"
    assert image.size == (8, 6)
    color = image.getpixel((0, 0))
    assert isinstance(color, tuple)
    return tuple(int(value) for value in color)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "webp", "bmp", "gif", "tif", "TIFF"])
def test_formats_become_rgb(tmp_path: Path, suffix: str) -> None:
    red, green, blue = pixel(save(tmp_path / f"image.{suffix}"))
    assert red > 245
    assert green < 10
    assert blue < 10


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "LA", "RGBA", "I;16", "I"])
def test_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    gray = Image.new("RGB", (8, 6), (255, 255, 255))
    image = Image.new(mode, (8, 6), 65535) if mode.startswith("I") else gray.convert(mode)
    suffix = {"CMYK": "jpg", "YCbCr": "jpg", "I": "tif"}.get(mode, "png")
    assert pixel(save(tmp_path / f"image.{suffix}", image)) == pytest.approx((255, 255, 255), abs=3)


def test_a_palette_gives_its_colors(tmp_path: Path) -> None:
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
    assert pixel(save(tmp_path / "gray.png", Image.new("LA", (8, 6), (0, 0)))) == (255, 255, 255)
    black = Image.new("P", (8, 6), 0)
    black.putpalette([0, 0, 0, 255, 0, 0])
    assert pixel(save(tmp_path / "key.png", black, transparency=0)) == (255, 255, 255)
    assert pixel(save(tmp_path / "other.png", black, transparency=1)) == (0, 0, 0)
    assert pixel(save(tmp_path / "rgb.png", transparency=(255, 0, 0))) == (255, 255, 255)
    assert pixel(save(tmp_path / "l.png", Image.new("L", (8, 6), 7), transparency=7)) == (255, 255, 255)
    assert pixel(save(tmp_path / "16.png", Image.new("I;16", (8, 6), 700), transparency=700))[0] in (2, 255)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright_by_exif(tmp_path: Path, orientation: int, suffix: str) -> None:
    """EXIF 2.3, tag Orientation: where the first row and the first column of the file are shown."""
    quarters = np.zeros((32, 48, 3), np.uint8)
    quarters[:16, :24], quarters[:16, 24:], quarters[16:, :24] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"image.{suffix}", Image.fromarray(quarters), exif=exif)
    shown = {
        1: quarters,
        2: quarters[:, ::-1],
        3: quarters[::-1, ::-1],
        4: quarters[::-1],
        5: quarters.swapaxes(0, 1),
        6: quarters[::-1].swapaxes(0, 1),
        7: quarters[::-1, ::-1].swapaxes(0, 1),
        8: quarters[:, ::-1].swapaxes(0, 1),
    }[orientation]
    upright = np.asarray(read_rgb(path))
    with Image.open(path) as file:
        assert np.array_equal(upright, np.asarray(ImageOps.exif_transpose(file)))
    assert upright.shape == shown.shape
    # the middles of the quarters, as formats with losses blur their edges
    height, width, _ = shown.shape
    middles = np.s_[height // 4 :: height // 2, width // 4 :: width // 2]
    assert np.abs(upright[middles].astype(int) - shown[middles]).max() < 12


def test_an_image_too_large_to_be_true_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "0.png")
    files = ImageFiles(tmp_path, [MediaFile("0.png", None)], [], max_bad_share=1.0)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.warns(UserWarning, match="decompression bomb"):
        assert files[0] is None


@pytest.mark.parametrize(("mode", "top"), [("F", 1.0), ("F", 255.0), ("F", 65535.0), ("I", 255), ("I", 65535)])
def test_deep_values_are_scaled_by_their_range(tmp_path: Path, mode: str, top: float) -> None:
    ramp = np.linspace(0, top, 48).reshape(6, 8).astype("float32" if mode == "F" else "int32")
    path = save(tmp_path / "image.tif", Image.fromarray(ramp))
    with Image.open(path) as file:
        assert file.mode == mode
    assert np.abs(np.asarray(read_rgb(path))[..., 0] - ramp / top * 255.0).max() <= 1


@pytest.mark.parametrize("value", [-1.0, 1e6, float("nan"), float("inf")])
def test_values_without_a_known_scale_are_refused(tmp_path: Path, value: float) -> None:
    ramp = np.linspace(0, 1, 48, dtype="float32").reshape(6, 8)
    ramp[0, 0] = value
    with pytest.raises(ValueError, match="its values go from"):
        read_rgb(save(tmp_path / "image.tif", Image.fromarray(ramp)))


def test_an_image_that_does_not_fit_into_the_memory_is_named_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "image.png")

    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageOps.exif_transpose", full)
    with pytest.raises(MemoryError, match=r"its 8 x 6 pixels need .* GB"):
        read_rgb(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(OSError, match="it is not a regular file"):
        read_rgb(tmp_path / "pipe.png")


def scene(size: tuple[int, int]) -> Image.Image:
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]] / 100
    waves = [np.sin(3 * rows + columns), np.cos(2 * columns), np.sin(rows * columns)]
    return Image.fromarray(np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8))


@pytest.mark.parametrize(
    ("min_side", "size"), [(None, (400, 304)), (305, (400, 304)), (152, (200, 152)), (153, (400, 304)), (10, (50, 38))]
)
def test_jpeg_files_are_decoded_at_a_scale_that_leaves_enough(
    tmp_path: Path, min_side: int | None, size: tuple[int, int]
) -> None:
    path = save(tmp_path / "image.jpg", scene((400, 304)), quality=95)
    image = read_rgb(path, min_side)
    assert image.size == size
    # libjpeg's scaled transform is an average over squares of pixels, as a box filter is
    expected = read_rgb(path).resize(size, Image.Resampling.BOX)
    assert np.abs(np.asarray(image, float) - np.asarray(expected, float)).mean() < 1.5


def test_scaled_files_stand_upright_and_other_formats_stay(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    assert read_rgb(save(tmp_path / "turned.jpg", scene((400, 300)), exif=turned), 100).size == (150, 200)
    assert read_rgb(save(tmp_path / "gray.jpg", scene((400, 300)).convert("L")), 100).size == (200, 150)
    assert read_rgb(save(tmp_path / "cmyk.jpg", scene((400, 300)).convert("CMYK")), 100).size == (200, 150)
    assert read_rgb(save(tmp_path / "image.png", scene((400, 300))), 100).size == (400, 300)
