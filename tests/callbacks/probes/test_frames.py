from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule

from jepa_lightning.callbacks.probes.frames import FRAMES, FrameProbe, frames_of, grid_of_frame
from jepa_lightning.types import Batch


class Steps(LightningModule):
    """A module at some step."""

    global_step = 3
    grid_size: tuple[int, ...] = ()


def test_tokens_are_cut_by_frame() -> None:
    tokens = torch.arange(2 * 6 * 3).view(2, 6, 3)
    assert torch.equal(frames_of(Steps(), tokens, 3)[1, 2], tokens[1, 4:])
    with pytest.raises(ValueError, match="Steps gives 6 tokens for 4 frames"):
        frames_of(Steps(), tokens, 4)


@pytest.mark.parametrize(
    ("own", "number", "grid"),
    [((), 1, (1, 1)), ((), 12, (3, 4)), ((2, 6), 12, (2, 6)), ((8, 2, 6), 12, (2, 6)), ((4, 4), 12, (3, 4))],
)
def test_the_grid_is_the_modules_own_or_nearly_square(own: Any, number: int, grid: tuple[int, int]) -> None:
    module = Steps()
    module.grid_size = own
    assert grid_of_frame(module, number) == grid


def test_each_clip_gives_another_frame_at_each_step_with_its_tokens() -> None:
    probe, module = FrameProbe(1e-3, "Owner"), Steps()
    size, frames = FRAMES + 4, 5
    clips = torch.randn(size, 2, frames, 4, 4)
    tokens = clips.mean(dim=(1, 3, 4))[..., None].expand(-1, -1, 6)  # [B, T, 6], of each frame
    batch = Batch([clips])
    pixels = probe.labels(module, batch)[""]
    found = probe.inputs(None, module, {"tokens": tokens}, batch)  # type: ignore[arg-type]
    assert (pixels.shape, found.shape) == ((FRAMES, 2 * 4 * 4), (FRAMES, 1, 6))
    torch.testing.assert_close(pixels.mean(dim=1), found[:, 0, 0])
    torch.testing.assert_close(pixels[1], clips[1, :, 4].flatten())  # clip 1 at step 3
