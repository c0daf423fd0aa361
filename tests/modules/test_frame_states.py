"""States of frames, and features made of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

Build = Callable[..., Any]


def test_states_are_of_each_frame_alone_and_features_are_their_mean(shaken_world: Build, world_batch: Build) -> None:
    model = shaken_world()
    (clip,) = world_batch(model).views
    states = model.encode(clip)
    assert states.shape == ((16, 5, 16, 24) if model.predictor_name == "tokens" else (16, 5, 24))
    for frame in range(5):
        torch.testing.assert_close(model.encode(clip[:, :, frame : frame + 1])[:, 0], states[:, frame])
    torch.testing.assert_close(model(clip), states.flatten(1, -2).mean(dim=1))
    torch.testing.assert_close(model(clip, pool=False), states.flatten(1, -2))
    torch.testing.assert_close(model(clip[:, :, 0]), model(clip[:, :, :1]))


def test_frames_of_environments_are_those_of_the_pipeline(
    tiny_world: Build, trajectories: Build, world_batch: Build
) -> None:
    model = tiny_world(mean=[0.1, 0.2], std=[0.3, 0.4])
    frames = torch.stack([sample.media for sample in trajectories(size=3)])  # [B, T, C, H, W]
    (clip,) = world_batch(model, size=3).views
    for given in (frames.movedim(2, -1), np.asarray(frames.movedim(2, -1))):
        torch.testing.assert_close(model.clip(given), clip)
    torch.testing.assert_close(clip[:, 0], (frames[:, :, 0].float() / 255 - 0.1) / 0.3)
    with pytest.raises(ValueError, match=r"frames are \[B, T, H, W, C\], got \[3, 16, 16, 2\]"):
        model.clip(frames[:, 0].movedim(1, -1))
