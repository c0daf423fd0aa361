# B batch, C channels, T frames, H W height and width, N tokens of a frame, A numbers of an action, S windows
"""Surprise of a world model: how far what happens is from what the actions should have led to."""

import torch
from torch import Tensor

from jepa_lightning.features import eval_mode
from jepa_lightning.modules import WorldModel


@torch.no_grad()
def world_surprise(
    module: WorldModel, clips: Tensor, actions: Tensor, context_frames: int, stride: int, window: int
) -> Tensor:
    """Energy of the later frames of windows, given the first ones and the actions.

    Args:
        module: trained.
        clips: ``[B, C, T, H, W]``.
        actions: ``[B, T - 1, A]``.
        context_frames: of a window, which are seen.
        stride: frames from one window to the next.
        window: frames of a window.

    Returns:
        ``[B, S]``, the mean over the frames of a window that are not seen.

    Raises:
        ValueError: if the clips are too short, no frame of a window is left to predict, or actions do not fit.
    """
    frames = clips.shape[2]
    if not 0 < context_frames < window:
        raise ValueError(
            f"context_frames={context_frames} must leave some of the {window} frames of a window to predict."
        )
    if frames < window:
        raise ValueError(f"clips of {frames} frames are shorter than a window of {window}.")
    if actions.shape[:2] != (len(clips), frames - 1):
        raise ValueError(
            f"actions of shape {list(actions.shape)} do not fit clips of {frames} frames, {list(clips.shape)}: give "
            "[B, T - 1, A], one action from each frame to the next."
        )
    energies = []
    with eval_mode(module):
        states = module.encode(clips)  # each frame is seen by itself, so that windows share them
        for start in range(0, frames - window + 1, stride):
            now, end = start + context_frames, start + window
            past = actions[:, start : now - 1] if context_frames > 1 else None
            rollout = module.rollout(states[:, start:now], actions[:, now - 1 : end - 1], past)
            energies.append(module.distance(rollout, states[:, now:end]))
    return torch.stack(energies, dim=1)
