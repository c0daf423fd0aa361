from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lightning.data.augmentation import Augmentation, augmented_pipeline
from jepa_lightning.data.channels import ToChannels
from jepa_lightning.data.pipelines import Pipeline, eval_view, masked_image_pipeline
from jepa_lightning.data.videos.clips import ClipSampler, masked_video_pipeline
from jepa_lightning.data.videos.video import TensorVideo
from jepa_lightning.masking import MultiBlockMask

SIZE = (64, 64)  # blur is for views of 64 pixels and more


def masked(channels: int) -> Pipeline:
    return masked_image_pipeline(SIZE, MultiBlockMask((4, 4), min_keep=1), mean=[0.5] * channels, std=[0.2] * channels)


def augmented(channels: int) -> Pipeline:
    views = [(Augmentation(blur=1.0, solarize=1.0, jitter_chance=1.0, grayscale=1.0), SIZE)] * 2
    return augmented_pipeline(views, mean=[0.5] * channels, std=[0.2] * channels)


def video(channels: int) -> Pipeline:
    return masked_video_pipeline(SIZE, ClipSampler(2), (), mean=[0.5] * channels, std=[0.2] * channels)


BUILDS = pytest.mark.parametrize("build", [masked, augmented, video])


@BUILDS
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
@pytest.mark.filterwarnings("ignore:color jitter")
def test_a_pipeline_has_as_many_channels_as_its_statistics(build: Callable[[int], Pipeline], channels: int) -> None:
    pipeline = build(channels)
    image = torch.randint(0, 256, (channels, 80, 72), dtype=torch.uint8)
    for view in (*pipeline.transform(image), *pipeline.eval_transform(image)):
        assert view.shape[0] == channels
        assert view.shape[-2:] == SIZE
        assert view.dtype == torch.float32


@BUILDS
@pytest.mark.parametrize(("channels", "given"), [(1, 3), (2, 1), (3, 2), (3, 4), (13, 3)])
@pytest.mark.filterwarnings("ignore:color jitter")
def test_another_number_of_channels_is_refused(build: Callable[[int], Pipeline], channels: int, given: int) -> None:
    pipeline, image = build(channels), torch.zeros(given, 80, 72, dtype=torch.uint8)
    for transform in (pipeline.transform, pipeline.eval_transform):
        with pytest.raises(ValueError, match=rf"an image has {given} channels .* mean and std have {channels}"):
            transform(image)


@pytest.mark.parametrize(("mean", "std"), [([0.5], [0.5, 0.5]), ([], [])])
def test_statistics_of_different_lengths_are_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(ValueError, match=rf"mean has {len(mean)} channels and std {len(std)}"):
        eval_view(SIZE, mean, std)


def test_color_changes_of_other_images_are_left_out_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="left out for those of 2"):
        augmented(2)
    steps = [type(step).__name__ for step in Augmentation(solarize=0.1).steps(SIZE, channels=2)]
    assert steps == ["RandomResizedCrop", "RandomHorizontalFlip", "RandomApply", "RandomSolarize"]


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("1", 1), ("LA", 2), ("RGBA", 4), ("P", 3), ("CMYK", 4), ("L", 3), ("RGBA", 3)]
)
def test_pil_images_of_any_mode(mode: str, channels: int) -> None:
    image = Image.fromarray(np.arange(0, 192, dtype=np.uint8).reshape(8, 8, 3)).convert(mode)
    found = ToChannels(channels)(image)
    expected = image.convert("RGB") if channels == 3 else image.convert("L") if channels == 1 else image
    pixels = np.asarray(expected)
    assert np.array_equal(found.permute(1, 2, 0).numpy(), pixels if pixels.ndim == 3 else pixels[..., None])


def test_an_image_with_a_palette_is_never_read_as_places_in_it() -> None:
    with pytest.raises(ValueError, match="has 3 channels"):
        ToChannels(1)(Image.new("RGB", (8, 8), "red").convert("P"))


def test_arrays_and_tensors_without_a_channel_axis() -> None:
    gray = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for image in (gray, gray[..., None], torch.from_numpy(gray), Image.fromarray(gray)):
        assert np.array_equal(ToChannels(1)(image)[0].numpy(), gray)
        assert np.array_equal(ToChannels(3)(image)[2].numpy(), gray)


FRAMES = torch.zeros(4, 3, 72, 80, dtype=torch.uint8)


@pytest.mark.parametrize("build", [masked, augmented])
@pytest.mark.parametrize(("sample", "name"), [(TensorVideo(FRAMES), "TensorVideo"), (FRAMES, "Tensor")])
def test_a_pipeline_of_images_refuses_videos(build: Callable[[int], Pipeline], sample: Any, name: str) -> None:
    pipeline = build(3)
    for transform in (pipeline.transform, pipeline.eval_transform):
        with pytest.raises(ValueError, match=rf"takes images and was given a video \({name}\).*ImageFolderDataModule"):
            transform(sample)


@pytest.mark.parametrize("sample", [None, "a.png", {"image": 1}, [1, 2], torch.zeros(4)])
def test_what_is_no_image_is_refused_by_name(sample: Any) -> None:
    with pytest.raises(ValueError, match=rf"was given {type(sample).__name__}"):
        eval_view(SIZE)(sample)


RAMP = np.linspace(0, 1, 64 * 8, dtype=np.float32).reshape(8, 64)
DEEP = (RAMP * 65535).round().astype(np.uint16)


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(DEEP),
        Image.fromarray(DEEP.astype(np.int32)),
        Image.fromarray(RAMP),
        RAMP,
        DEEP,
        torch.from_numpy(RAMP),
        torch.from_numpy(RAMP).double()[None],
        torch.from_numpy(DEEP),
    ],
    ids=lambda image: getattr(image, "mode", type(image).__name__),
)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_other_depth_keep_their_values(image: Any, channels: int) -> None:
    found = ToChannels(channels)(image)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[-1].as_subclass(torch.Tensor), torch.from_numpy(RAMP), atol=1e-5, rtol=0)
    (view,) = eval_view((8, 64), mean=[0.0] * channels, std=[1.0] * channels)(image)
    torch.testing.assert_close(view[0], torch.from_numpy(RAMP), atol=1e-5, rtol=0)


@pytest.mark.parametrize("build", [masked, augmented])
def test_views_of_floats_are_those_of_the_same_bytes(build: Callable[[int], Pipeline]) -> None:
    image = torch.randint(0, 256, (3, 80, 72), dtype=torch.uint8)
    pipeline = build(3)
    torch.manual_seed(0)
    expected = pipeline.transform(image)
    torch.manual_seed(0)
    for found, view in zip(pipeline.transform(image / 255), expected, strict=True):
        torch.testing.assert_close(found, view, atol=0.03, rtol=0)  # of a view in steps of 1/51


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (torch.rand(3, 8, 8) * 255, "a float image must have values of 0 to 1, and one has"),
        (torch.randn(3, 8, 8), "a float image must have values of 0 to 1"),
        (torch.full((3, 8, 8), torch.nan), "one has nan to nan"),
        (Image.fromarray(RAMP * 255), "a float image must have values of 0 to 1"),
        (torch.zeros(3, 8, 8, dtype=torch.int32), "the range of an image of int32 is not known"),
        (torch.zeros(3, 8, 8, dtype=torch.bool), "the range of an image of bool is not known"),
        (Image.fromarray(np.full((8, 8), 70000, dtype=np.int32)), "mode I has values from 70000 to 70000"),
    ],
)
def test_values_of_another_range_are_refused(image: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        ToChannels(3)(image)
