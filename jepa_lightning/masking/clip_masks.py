"""The kinds of masks of one clip: several numbers and sizes of blocks, and the first frames for the later ones."""

from collections.abc import Sequence
from typing import Any

from jepa_lightning.masking.causal import CausalMask
from jepa_lightning.masking.multi_block_3d import MultiBlock3DMask
from jepa_lightning.masking.sampler import MaskSampler


def clip_masks(
    grid_size: Sequence[int],
    num_blocks: tuple[int, ...],
    spatial_scale: tuple[float, ...],
    causal_frames: tuple[int, int] | None = None,
    **options: Any,
) -> tuple[MaskSampler, ...]:
    """One sampler for each kind of mask.

    Args:
        grid_size: tokens along time, rows and columns.
        num_blocks: number of blocks, for each kind.
        spatial_scale: area of a block as a share of the frame, for each kind.
        causal_frames: smallest and largest number of context tubelets for a further kind; None has no such kind.
        options: of ``MultiBlock3DMask``, for all kinds with blocks.
    """
    frames, rows, columns = grid_size
    grid = (frames, rows, columns)
    blocks = [
        MultiBlock3DMask(grid, number, (scale, scale), **options)
        for number, scale in zip(num_blocks, spatial_scale, strict=True)
    ]
    return (*blocks, *([] if causal_frames is None else [CausalMask(grid, causal_frames)]))


def check_kinds(
    num_blocks: tuple[int, ...], spatial_scale: tuple[float, ...], causal_frames: tuple[int, int] | None
) -> None:
    """Refuses kinds of masks that are incomplete, and an empty list of kinds.

    Raises:
        ValueError: saying what is missing.
    """
    if len(num_blocks) != len(spatial_scale):
        raise ValueError(
            f"num_blocks {num_blocks} and spatial_scale {spatial_scale} must be of one length: a number and a share "
            "for each kind of mask."
        )
    if not num_blocks and causal_frames is None:
        raise ValueError("num_blocks is empty and causal_frames is None: give at least one kind of mask.")
