"""Statistics of pixels that folders of `transformers` say, and preprocessors that are written for them."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jepa_lightning import MAE, VJEPA, BarlowTwins, SimCLR
from jepa_lightning.interop.huggingface_processor import (
    PROCESSORS,
    processor_of,
    say_other_statistics,
    statistics_of,
)
from jepa_lightning.interop.report import LoadReport

MEAN, STD = [0.1, 0.2, 0.3], [1, 2, 3]


def statistics(
    folder: Path, said: Any, config: dict[str, Any] | None = None, name: str = PROCESSORS[0]
) -> tuple[dict[str, list[float]], list[str]]:
    (folder / name).write_text(said if isinstance(said, str) else json.dumps(said))
    report = LoadReport("a")
    return statistics_of(folder, config or {}, report), report.notes


@pytest.mark.parametrize("name", PROCESSORS)
def test_what_the_preprocessor_says_is_taken(name: str, tmp_path: Path) -> None:
    found, notes = statistics(tmp_path, {"image_mean": MEAN, "image_std": STD}, name=name)
    assert found == {"mean": MEAN, "std": STD}
    assert notes == [f"mean and std are those of its {name}"]


def test_a_folder_that_does_not_tell(tmp_path: Path) -> None:
    assert statistics_of(tmp_path, {}, LoadReport("a")) == {}
    (tmp_path / PROCESSORS[0]).mkdir()  # no file
    assert statistics_of(tmp_path, {}, LoadReport("a")) == {}
    (tmp_path / PROCESSORS[0]).rmdir()
    assert statistics(tmp_path, {"image_mean": None}) == ({}, [])
    assert statistics(tmp_path, {"image_std": STD})[0] == {"std": STD}


def test_the_default_of_vit_is_not_what_an_ijepa_was_trained_with(tmp_path: Path) -> None:
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    found, notes = statistics(tmp_path, half, {"model_type": "ijepa"})
    assert found == {}
    assert notes == ["mean and std are ImageNet's, as the authors had them, and not those of its " + PROCESSORS[0]]
    for said, kind in ((half, "vit"), ({**half, "image_processor_type": "BitImageProcessor"}, "ijepa")):
        assert statistics(tmp_path, said, {"model_type": kind})[0] == {"mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.mark.parametrize(("name", "channels"), [("num_channels", 4), ("in_chans", 2), (None, 3)])
def test_pixels_that_are_not_normalized(name: str | None, channels: int, tmp_path: Path) -> None:
    said = {"do_normalize": False, "image_mean": MEAN}
    found, _ = statistics(tmp_path, said, {name: channels} if name else {})
    assert found == {"mean": [0.0] * channels, "std": [1.0] * channels}


@pytest.mark.parametrize("channels", [0, -1, "3", None, True, 1.5, 10**9])
def test_pixels_of_no_number_of_channels(channels: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"its num_channels is .*, and a whole number"):
        statistics(tmp_path, {"do_normalize": False}, {"num_channels": channels})


@pytest.mark.parametrize("name", ["image_mean", "image_std"])
@pytest.mark.parametrize(
    "value", [0.5, "x", {}, True, [True], ["a"], [None], [[0.5]], [float("nan")], [float("inf")], [10**400], [1e6]]
)
def test_numbers_that_are_none(name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=rf"preprocessor_config\.json: its {name} is .*, and numbers are what"
    ) as error:
        statistics(tmp_path, {name: value})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [[0, 1, 1], [-1.0]])
def test_a_deviation_is_above_0(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"its image_std is"):
        statistics(tmp_path, {"image_std": value})
    assert statistics(tmp_path, {"image_mean": value})[0] == {"mean": value}


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_preprocessor_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot read .*: it is not (JSON|a JSON object)\."):
        statistics(tmp_path, text)


@pytest.mark.parametrize(
    ("mean", "said"),
    [
        ((0.1, 0.2, 0.3), None),
        ((0.10005, 0.2, 0.3), None),  # digits that were not written
        ((0.1, 0.2, 0.4), "mean is [0.1, 0.2, 0.3] there and stays [0.1, 0.2, 0.4] here: give mean for the same"),
        ((0.1,), "mean is [0.1, 0.2, 0.3] there and stays [0.1] here: give mean for the same"),
        (None, None),
    ],
)
def test_other_statistics_of_a_module_are_said(mean: Any, said: str | None, tmp_path: Path) -> None:
    (tmp_path / PROCESSORS[0]).write_text(json.dumps({"image_mean": MEAN}))
    report = LoadReport("a")
    say_other_statistics(SimpleNamespace(mean=mean), tmp_path, {}, report)
    assert report.notes == ([] if said is None else [said])


def small(cls: Any, **options: Any) -> Any:
    return cls("vit_tiny", depth=1, image_size=options.pop("image_size", 32), patch_size=8, **options)


@pytest.mark.parametrize(
    ("build", "resample"),
    [
        (lambda: small(SimCLR), 2),
        (lambda: small(SimCLR, interpolation="bicubic"), 3),
        (lambda: small(MAE, decoder_depth=1), 3),
        (lambda: small(MAE, decoder_depth=1, interpolation="bilinear"), 2),
        (lambda: small(BarlowTwins), 3),
    ],
)
def test_images_are_resized_as_in_validation(build: Any, resample: int) -> None:
    module = build()
    (name, found), *more = processor_of(module, clips=False).items()
    assert (name, more) == (PROCESSORS[0], [])
    assert found["resample"] == resample
    assert (found["size"], found["crop_size"]) == ({"shortest_edge": 32}, {"height": 32, "width": 32})
    assert found["do_center_crop"]
    assert found["do_convert_rgb"]
    assert (found["image_mean"], found["image_std"]) == (list(module.mean), list(module.std))
    assert found["rescale_factor"] * 255 == pytest.approx(1)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_are_those_of_validation(interpolation: str) -> None:
    processing = pytest.importorskip("transformers.models.bit.image_processing_bit")
    module = small(MAE, decoder_depth=1, interpolation=interpolation)
    found = processor_of(module, clips=False)[PROCESSORS[0]]
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    theirs = processing.BitImageProcessor(**found)(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(theirs, module.preprocess(image), atol=0.03, rtol=0)  # one of 255 apart


def test_images_of_another_shape_or_of_other_channels() -> None:
    found = processor_of(small(SimCLR, image_size=(32, 48)), clips=False)[PROCESSORS[0]]
    assert (found["size"], found["do_center_crop"]) == ({"height": 32, "width": 48}, False)
    module = small(SimCLR, in_channels=2, mean=(0.5, 0.5), std=(1.0, 1.0))
    assert not processor_of(module, clips=False)[PROCESSORS[0]]["do_convert_rgb"]


def test_clips_are_cropped_to_their_size(vjepa: VJEPA) -> None:
    found = processor_of(vjepa, clips=True)
    assert list(found) == [PROCESSORS[1]]
    assert found[PROCESSORS[1]]["crop_size"] == {"height": 32, "width": 32}
    assert found[PROCESSORS[1]]["resample"] == 2
    json.dumps(found)
