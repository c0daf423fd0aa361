from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch.utils.data import DataLoader

from jepa_lightning.data.videos.video import TensorVideo

Build = Callable[..., Any]


def predicted(module: Any, samples: Any, folder: Any) -> torch.Tensor:
    """What ``predict`` gives."""
    pipeline = module.pipeline()
    loader = DataLoader([pipeline.eval_transform(sample) for sample in samples], 4, collate_fn=pipeline.collate)
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False, default_root_dir=folder
    )
    return torch.cat([output["features"] for output in trainer.predict(module, loader)])


def test_features_of_preprocessed_images_are_those_of_predict(
    every_method: Build, smooth_images: Build, tmp_path: Any
) -> None:
    module = every_method()
    images = smooth_images(4)
    expected = predicted(module, images, tmp_path)
    arrays = images.permute(0, 2, 3, 1).numpy()
    module.eval()
    for given in (
        images,
        images / 255,
        list(images),
        arrays,
        tuple(arrays),
        [Image.fromarray(array) for array in arrays],
        arrays.astype(np.uint16) * 257,
    ):
        ready = module.preprocess(given)
        with torch.no_grad():
            found = module(ready)
        cosine = torch.nn.functional.cosine_similarity(found, expected)
        assert (cosine > 0.9999).all()
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)  # floats are not rounded after resizing
    one = module.preprocess(Image.fromarray(arrays[0]))
    assert torch.equal(one, module.preprocess(images[0]))
    assert one.shape == module.preprocess(images[:1]).shape


def test_videos_are_clips_of_their_frames(tiny_vjepa: Build, smooth_images: Build, tmp_path: Any) -> None:
    module = tiny_vjepa().eval()
    videos = torch.stack([smooth_images(10, seed) for seed in range(2)])
    expected = predicted(module, videos, tmp_path)
    for given in (videos, list(videos), [TensorVideo(video) for video in videos]):
        with torch.no_grad():
            torch.testing.assert_close(module(module.preprocess(given)), expected)
    assert torch.equal(module.preprocess(videos[0]), module.preprocess(TensorVideo(videos[0])))
    assert module.preprocess(videos[0]).shape == (1, 3, 8, 32, 32)


def test_what_cannot_be_shown_is_refused(tiny_ijepa: Build, tiny_vjepa: Build) -> None:
    module = tiny_ijepa()
    for given, fault in (
        ([], "there is no image"),
        ("a.png", "was given str"),
        (torch.zeros(2, 4, 3, 32, 32, dtype=torch.uint8), "takes images and was given a video"),
        (torch.rand(3, 32, 32) * 255, "a float image must have values of 0 to 1"),
        (torch.zeros(32, 32, 3, dtype=torch.uint8), "an image has 32 channels"),
    ):
        with pytest.raises(ValueError, match=fault):
            module.preprocess(given)
    with pytest.raises(ValueError, match="in 2 views, whose features predict averages: set eval_clips"):
        tiny_vjepa(eval_clips=2).preprocess(torch.zeros(10, 3, 32, 32, dtype=torch.uint8))
