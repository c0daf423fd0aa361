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


VIT = {"encoder": "vit_tiny", "patch_size": 4, "depth": 1, "heads": 3}


def test_joined_tokens_keep_where_things_are_and_their_mean_does_not(tiny_world: Build) -> None:
    frames = torch.randn(1, 2, 1, 16, 16)
    moved = frames.roll((4, 8), (3, 4))  # whole patches
    for options, alike in (({}, True), ({"state_width": 6}, False)):
        model = tiny_world(**VIT, **options).eval()
        model.encoder.pos_embed.zero_()  # so that tokens do not say themselves where they are
        states = model.encode(frames), model.encode(moved)
        assert states[0].shape == (1, 1, options.get("state_width", 24))
        assert torch.allclose(*states, atol=1e-5) is alike


def test_joined_tokens_are_trained_on_a_frozen_encoder(tiny_world: Build, world_batch: Build) -> None:
    frozen = tiny_world(**VIT, freeze_encoder=True)
    assert not frozen.learns_states
    assert frozen.terms is None
    model = tiny_world(**VIT, freeze_encoder=True, state_width=6)
    assert model.learns_states
    assert model.terms is not None
    model.objective(world_batch(model), 0.0).loss.backward()
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert model.joined.linear.weight.grad.abs().max() > 0
    assert model.state_head.weight.grad is not None  # one norm behind encoder and predictor, with weights


def test_a_state_width_refuses_what_it_does_not_use(tiny_world: Build) -> None:
    with pytest.raises(ValueError, match=r"pool.*state_width takes all tokens of a frame"):
        tiny_world(**VIT, state_width=6, pool="class")
    with pytest.raises(ValueError, match=r"state_width.*predictor tokens takes all tokens of a frame"):
        tiny_world("tokens", state_width=6)
    with pytest.raises(ValueError, match=r"state_width.*encoder is impala"):
        tiny_world(state_width=6)


def test_a_state_width_needs_a_grid_and_frames_of_its_size(tiny_world: Build) -> None:
    class Net(torch.nn.Module):
        width = 2

    with pytest.raises(ValueError, match=r"state_width needs the grid of the encoder's tokens, and .*Net has no"):
        tiny_world(encoder=Net(), width=None, state_width=6)
    model = tiny_world(**VIT, state_width=6)
    with pytest.raises(ValueError, match="an image has 64 tokens, and the layer was built for 16"):
        model.encode(torch.randn(1, 2, 1, 32, 32))


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
