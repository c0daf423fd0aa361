# C channels, H W height and width
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import OnlineKNN
from jepa_lightning.data import ImageFolderDataModule
from jepa_lightning.data.images import bands
from jepa_lightning.data.images.bands import BandFiles, read_bands
from jepa_lightning.data.images.files import read_rgb

Build = Callable[..., Any]
BANDS = np.random.default_rng(0).integers(0, 60_000, (13, 20, 24), dtype=np.uint16)  # [C, H, W]


def npy(path: Path, array: Any) -> Path:
    np.save(path, array)
    return path


def tiff(path: Path, array: Any, **options: Any) -> Path:
    tifffile.imwrite(path, array, **options)
    return path


LAST = BANDS.transpose(1, 2, 0)
WRITERS: dict[str, Callable[[Path], Path]] = {
    "npy, channels first": lambda folder: npy(folder / "a.npy", BANDS),
    "npy, channels last": lambda folder: npy(folder / "a.npy", LAST),
    "npy, columns first": lambda folder: npy(folder / "a.npy", np.asfortranarray(BANDS)),
    "npy, other bytes": lambda folder: npy(folder / "a.npy", BANDS.astype(">u2")),
    "pages": lambda folder: tiff(folder / "a.tif", BANDS, photometric="minisblack"),
    "compressed pages": lambda folder: tiff(folder / "a.TIFF", BANDS, photometric="minisblack", compression="zlib"),
    "planes": lambda folder: tiff(folder / "a.tif", BANDS, photometric="minisblack", planarconfig="separate"),
    "samples": lambda folder: tiff(folder / "a.tif", LAST, photometric="minisblack", planarconfig="contig"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_all_layouts_of_thirteen_bands_have_the_same_values(name: str, tmp_path: Path) -> None:
    found = read_bands(WRITERS[name](tmp_path), 13)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), BANDS / 65535.0, rtol=0, atol=1e-6)


def test_pages_written_one_by_one(tmp_path: Path) -> None:
    pages = [Image.fromarray(page) for page in (BANDS // 256).astype(np.uint8)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], compression="tiff_deflate")
    found = read_bands(tmp_path / "a.tif", 13)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), BANDS // 256)


@pytest.mark.parametrize(
    ("dtype", "max_value", "expected"),
    [
        ("uint8", None, None),
        ("uint16", None, 1 / 65535),
        ("float32", None, 1.0),
        ("float64", None, 1.0),
        ("float16", None, 1.0),
        ("int16", 100, 0.01),
        ("uint8", 100, 0.01),
        ("uint16", 1000, 0.001),
        ("float32", 50, 0.02),
    ],
)
def test_the_scale_is_that_of_the_type_or_as_given(
    dtype: str, max_value: float | None, expected: float | None, tmp_path: Path
) -> None:
    """A dim image stays dim: its own largest value, a half of what may be, does not set its scale."""
    values = np.linspace(0, 0.5, 2 * 6 * 5).reshape(2, 6, 5) * (max_value or (1 if dtype[0] == "f" else 100))
    array = values.astype(dtype)
    for path in (npy(tmp_path / "a.npy", array), tiff(tmp_path / "a.tif", array, photometric="minisblack")):
        found = read_bands(path, 2, max_value)
        assert isinstance(found, torch.Tensor)
        if expected is None:
            assert found.dtype == torch.uint8
            assert np.array_equal(found.numpy(), array)
        else:
            np.testing.assert_allclose(found.numpy(), array.astype("float64") * expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("array", "channels", "text"),
    [
        (np.zeros((13, 9, 13), np.uint8), 13, r"its shape \(13, 9, 13\) has 13 channels on the first axis or on the l"),
        (
            np.zeros((12, 9, 9), np.uint8),
            13,
            r"its shape \(12, 9, 9\) is neither \[C, H, W\] nor \[H, W, C\] with",
        ),
        (np.zeros((9, 9), np.uint8), 13, r"its shape \(9, 9\) is neither"),
        (np.zeros((13, 2, 9, 9), np.uint8), 13, r"its shape \(13, 2, 9, 9\) is neither"),
        (np.zeros((13, 9, 9), np.int16), 13, r"its values are int16, whose range is not known: set max_value"),
        (np.zeros((13, 9, 9), np.complex64), 13, r"of the type complex64"),
        (np.zeros((13, 9, 9), bool), 13, r"of the type bool"),
        (np.full((13, 9, 9), 7.5), 13, r"its values go from 7.5 to 7.5, which is not 0 to 1: set max_value"),
        (np.full((13, 9, 9), -0.5), 13, r"its values go from -0.5 to -0.5"),
        (np.full((13, 9, 9), np.nan), 13, r"its values go from nan to nan"),
        (np.full((13, 9, 9), np.inf), 13, r"its values go from inf to inf"),
    ],
)
def test_what_is_not_known_is_refused(array: Any, channels: int, text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=text):
        read_bands(npy(tmp_path / "a.npy", array), channels)


def test_other_channels_of_a_tiff_are_refused(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", BANDS, photometric="minisblack")
    with pytest.raises(
        ValueError, match=r"it has 13 channels or pages \(axes QYX of lengths \(13, 20, 24\)\), and in_c"
    ):
        read_bands(path, 12)
    stack = tiff(tmp_path / "b.tif", np.zeros((4, 20, 24, 3), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match="it has 4 x 3 channels or pages"):
        read_bands(stack, 12)
    palette = tmp_path / "c.tif"
    Image.new("P", (8, 8)).save(palette)
    with pytest.raises(ValueError, match=r"in another way than gray or RGB \(PALETTE\)"):
        read_bands(palette, 1)


def test_size_is_checked_before_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = tmp_path / "a.npy"
    with huge.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (13, 100_000, 100_000)}
        )
        file.truncate(file.tell() + 13 * 4 * 10**10)  # a sparse file: it has the length, and no blocks
    with pytest.raises(ValueError, match=r"\(13, 100000, 100000\) of float32 takes 484.3 GiB, more than 1"):
        read_bands(huge, 13)
    with huge.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ValueError, match=r"mmap length|mapping|file"):
        read_bands(huge, 13)
    monkeypatch.setattr(bands, "MAX_BYTES", BANDS.nbytes - 1)
    path = tiff(tmp_path / "a.tif", BANDS, photometric="minisblack")
    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", lambda *_: pytest.fail("the values were read"))
    with pytest.raises(ValueError, match=r"\(13, 20, 24\) of uint16 takes 0.0 GiB"):
        read_bands(path, 13)


def test_no_code_in_a_file_is_run(tmp_path: Path, payload: Any) -> None:
    np.save(tmp_path / "a.npy", np.array([payload], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        read_bands(tmp_path / "a.npy", 1)
    np.savez(tmp_path / "b.npz", BANDS)
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    with pytest.raises(ValueError, match="it is an archive of arrays"):
        read_bands(tmp_path / "b.npy", 13)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGBA", 4), ("I;16", 1), ("P", 4)])
def test_other_images_are_as_pillow_has_them(mode: str, channels: int, tmp_path: Path) -> None:
    Image.new(mode, (8, 6)).save(tmp_path / "a.png")
    found = read_bands(tmp_path / "a.png", channels)
    assert isinstance(found, Image.Image)
    pipeline = IJEPA("vit_tiny", depth=1, in_channels=channels, image_size=32, patch_size=8, min_keep=4).pipeline()
    assert pipeline.eval_transform(found)[0].shape == (channels, 32, 32)
    with pytest.raises(ValueError, match=r"it has \d channels \(.*\), and in_channels is 13"):
        read_bands(tmp_path / "a.png", 13)


def test_three_channels_of_ordinary_files_are_rgb(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 4), dtype=np.uint8))
    for name in ("a.png", "a.tif"):
        image.save(tmp_path / name)
        assert np.array_equal(np.asarray(read_bands(tmp_path / name, 3)), np.asarray(read_rgb(tmp_path / name)))
    stack = tiff(tmp_path / "b.tif", np.zeros((3, 20, 24), np.uint8), photometric="minisblack")
    assert isinstance(read_bands(stack, 3), torch.Tensor)  # three pages are not one gray image


def folder(root: Path) -> Path:
    for number in range(24):
        (root / "ab"[number % 2]).mkdir(exist_ok=True)
        name = root / "ab"[number % 2] / f"{number}"
        array = (BANDS * (number % 2)) // 10
        if number < 12:
            npy(name.with_suffix(".npy"), array)
        else:
            tiff(name.with_suffix(".tif"), array, photometric="minisblack")
    return root


def test_a_folder_of_thirteen_bands_trains_with_a_probe(tmp_path: Path, quiet_trainer: Build) -> None:
    options: dict[str, Any] = {"in_channels": 13, "mean": [0.3] * 13, "std": [0.3] * 13, "max_value": 10000}
    data = ImageFolderDataModule(folder(tmp_path), batch_size=8, num_workers=0, val_fraction=0.3, **options)
    model = IJEPA(
        "vit_tiny", width=24, heads=2, depth=1, in_channels=13, image_size=16, patch_size=4, predictor_depth=1,
        predictor_dim=12, min_keep=4,
    )  # fmt: skip
    knn = OnlineKNN()
    quiet_trainer(max_epochs=1, callbacks=[knn]).fit(model, data)
    assert knn.best["val/knn"] == 1.0  # one class is black
    batch = next(iter(data.val_dataloader()))
    assert batch.views[0].shape == (len(batch.views[0]), 13, 16, 16)


def test_arrays_are_no_images_where_no_channels_are_asked_for(tmp_path: Path) -> None:
    folder(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "a" / "x.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "b" / "x.png")
    data = ImageFolderDataModule(tmp_path)
    with pytest.warns(UserWarning, match=r"\.npy"):
        data.setup()
    assert data.num_samples + len(data.val_set) == 14  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_value=255 is for files that are read with all their channels"):
        ImageFolderDataModule(tmp_path, max_value=255)


def test_a_missing_package_is_named_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ImageFolderDataModule(folder(tmp_path), in_channels=13)
    monkeypatch.setattr(bands.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs tifffile: pip install 'jepa_lightning\[bands\]'"):
        data.setup()


def test_bad_files_count_as_such(tmp_path: Path) -> None:
    data = ImageFolderDataModule(folder(tmp_path), in_channels=13, max_bad_share=0.1)
    npy(tmp_path / "a" / "bad.npy", np.zeros((5, 5)))
    data.setup()
    files = data.train_set.dataset  # type: ignore[attr-defined]
    assert isinstance(files, BandFiles)
    with pytest.warns(UserWarning, match=r"bad\.npy, left out: its shape \(5, 5\) is neither"):
        assert [files[i] for i in range(len(files))].count(None) == 1
