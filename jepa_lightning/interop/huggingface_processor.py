"""Preprocessors of ``transformers``: what they do to pixels is what a module does in validation, both ways."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jepa_lightning.interop.huggingface_config import MOST, whole_number
from jepa_lightning.interop.reading import read_json
from jepa_lightning.interop.report import LoadReport

RESAMPLE = {"bilinear": 2, "bicubic": 3}  # numbers of PIL
PROCESSORS = ("preprocessor_config.json", "video_preprocessor_config.json")  # of images, of clips
HALF = [0.5, 0.5, 0.5]
CLOSE = 1e-4  # statistics are written with three digits


def processor_of(module: Any, clips: bool) -> dict[str, dict[str, Any]]:
    """The preprocessor of a module, by the name of its file.

    Args:
        module: with its image size, mean and std.
        clips: whether its encoder takes clips.
    """
    return {PROCESSORS[clips]: (_of_clips if clips else _of_images)(module)}


def statistics_of(folder: Path, config: Mapping[str, Any], report: LoadReport) -> dict[str, list[float]]:
    """Mean and std of each channel that a folder of weights has been trained with, as options of a module.

    Args:
        folder: with a preprocessor, or without.
        config: ``config.json`` of it.
        report: gets the choice.

    Returns:
        Nothing where the folder does not tell. Folders of the published I-JEPA say 0.5, which is the default of ViT's
        preprocessor and not what the authors trained with: these do not tell.

    Raises:
        ValueError: if the preprocessor cannot be read.
    """
    path = next((folder / name for name in PROCESSORS if (folder / name).is_file()), None)
    if path is None:
        return {}
    said = read_json(path)
    found = {ours: said.get(theirs) for ours, theirs in (("mean", "image_mean"), ("std", "image_std"))}
    if not said.get("do_normalize", True):
        name = "in_chans" if "in_chans" in config else "num_channels"  # of clips, and of images
        channels = whole_number({"num_channels": 3, **config}, name, folder)
        found = {"mean": [0.0] * channels, "std": [1.0] * channels}
    by_default = str(said.get("image_processor_type", "ViT")).startswith("ViT")
    if config.get("model_type") == "ijepa" and by_default and found == {"mean": HALF, "std": HALF}:
        report.notes.append(f"mean and std are ImageNet's, as the authors had them, and not those of its {path.name}")
        return {}
    given = {name: value for name, value in found.items() if value is not None}
    for name, value in given.items():
        numbers = isinstance(value, list) and all(type(one) in (int, float) and -MOST < one < MOST for one in value)
        if not numbers or (name == "std" and min(value, default=1) <= 0):
            raise ValueError(f"cannot use {path}: its image_{name} is {value!r}, and numbers are what it should be.")
    if given:
        report.notes.append(f"mean and std are those of its {path.name}")
    return given


def say_other_statistics(module: Any, folder: Path, config: Mapping[str, Any], report: LoadReport) -> None:
    """Says where a module that has been built normalizes otherwise than a folder of weights has been trained with.

    Args:
        module: with or without ``mean`` and ``std``.
        folder: as of ``statistics_of``.
        config: likewise.
        report: gets what differs.

    Raises:
        ValueError: as of ``statistics_of``.
    """
    for name, there in statistics_of(folder, config, LoadReport(str(folder))).items():
        here = getattr(module, name, None)
        if here is not None and not _close(here, there):
            report.notes.append(f"{name} is {_few(there)} there and stays {_few(here)} here: give {name} for the same")


def _close(here: Sequence[float], there: Sequence[float]) -> bool:
    return len(here) == len(there) and all(abs(one - other) <= CLOSE for one, other in zip(here, there, strict=True))


def _few(numbers: Sequence[float]) -> str:
    return f"[{', '.join(f'{number:g}' for number in numbers)}]"


def _of_images(module: Any) -> dict[str, Any]:
    """As in validation here, where the shorter side is resized to that of the view, and the longer one is cropped.

    The preprocessors of ``transformers`` do so for squares alone; for views of other shapes images are stretched.
    """
    height, width = module.image_size
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": module.in_channels == 3,
        "do_resize": True,
        "size": {"shortest_edge": height} if height == width else {"height": height, "width": width},
        "resample": _resample(module),
        "do_center_crop": height == width,
        "crop_size": {"height": height, "width": width},
        **_normalization(module),
    }


def _of_clips(module: Any) -> dict[str, Any]:
    size = module.image_size[0]
    return {
        "video_processor_type": "VJEPA2VideoProcessor",
        "crop_size": {"height": size, "width": size},
        "resample": _resample(module),
        **_normalization(module),
    }


def _resample(module: Any) -> int:
    """The interpolation of the view that validation has."""
    steps = getattr(module.pipeline().eval_transform, "steps", None)
    modes = [step.interpolation for step in getattr(steps, "transforms", ()) if hasattr(step, "interpolation")]
    return RESAMPLE[modes[0] if modes else "bilinear"]


def _normalization(module: Any) -> dict[str, Any]:
    return {
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(module.mean),
        "image_std": list(module.std),
    }
