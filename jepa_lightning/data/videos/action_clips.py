# B batch, T frames, A numbers of an action, C channels, H W height and width
"""Clips with the actions that lead from frame to frame, as world models are shown them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jepa_lightning.data.collate import Collate
from jepa_lightning.data.pipelines import Pipeline, eval_steps, to_tensor
from jepa_lightning.data.videos.clips import ClipSampler, ClipView
from jepa_lightning.types import Batch


@dataclass(frozen=True)
class ActionCollate(Collate):
    """A collate that refuses actions which a world model cannot take, before they reach it.

    Attributes:
        action_size: A.
    """

    action_size: int = 1

    def __call__(self, samples: Sequence[Any], sizes: torch.Generator | None = None) -> Batch:
        """Stacks samples into a Batch, as ``Collate``.

        Raises:
            ValueError: if actions are of another size, or not finite.
        """
        batch = super().__call__(samples, sizes)
        if (actions := batch.extras.get("actions")) is not None:
            check_action_size(actions, self.action_size)
            if not actions.isfinite().all():
                row = int((~actions.isfinite()).flatten(1).any(dim=1).nonzero()[0])
                where = f" of {batch.paths[row]}" if batch.paths[row] else ""
                raise ValueError(
                    f"an action{where} is NaN or infinite: leave out the end of the episode that it stands at, or "
                    "correct the data."
                )
        return batch


def action_pipeline(
    image_size: tuple[int, int],
    num_frames: int,
    action_size: int,
    mean: Sequence[float],
    std: Sequence[float],
    normalize: bool = True,
) -> Pipeline:
    """The pipeline of world models: clips as they are, in training too.

    A crop or a mirror image would belong to other actions.

    Args:
        image_size: height and width of the frames.
        num_frames: T; a longer trajectory is cut, anywhere in training and in the middle in evaluation.
        action_size: A.
        mean: subtracted, per channel, from values in [0, 1].
        std: divides the rest.
        normalize: False leaves clips of 8 bits as they are, in training.
    """
    sampler = ClipSampler(num_frames)
    shown, late = (
        (to_tensor(eval_steps(image_size), mean, std, frames=True, normalize=each),) for each in (True, normalize)
    )
    return Pipeline(
        transform=ClipView(sampler, late, train=True),
        eval_transform=ClipView(sampler, shown, train=False),
        collate=ActionCollate(action_size=action_size),
    )


def frames_to_clips(frames: Any, image_size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Frames as environments give them, as normalized clips.

    Args:
        frames: uint8 ``[B, T, H, W, C]``, a tensor or an array.
        image_size: height and width of the clips.
        mean: as for ``action_pipeline``.
        std: as for ``action_pipeline``.

    Returns:
        ``[B, C, T, H, W]``.

    Raises:
        ValueError: if they have other axes, or another number of channels.
    """
    frames = torch.as_tensor(frames)
    if frames.ndim != 5:
        raise ValueError(f"frames are [B, T, H, W, C], got {list(frames.shape)}.")
    view = to_tensor(eval_steps(image_size), mean, std, frames=True)
    shown: Tensor = view(frames.movedim(-1, 2).flatten(0, 1))
    return shown.view(*frames.shape[:2], *shown.shape[1:]).transpose(1, 2)


def check_action_size(actions: Tensor, size: int) -> None:
    """Refuses actions of another size.

    Args:
        actions: ``[..., A]``.
        size: A.

    Raises:
        ValueError: if they are of another one.
    """
    if actions.shape[-1] != size:
        raise ValueError(
            f"actions have {actions.shape[-1]} numbers, and the world model has action_size={size}: set action_size to "
            "that of the data (--model.action_size), or take a model that was trained for these actions."
        )
