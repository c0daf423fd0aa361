# B batch, C channels, T frames, H W height and width, S windows
"""Surprise: how far what happens next is from what a V-JEPA, or a world model, predicts from the past.

Source: "Intuitive physics understanding emerges from self-supervised pretraining on natural videos", arXiv 2502.11831.
"""

import torch
from torch import Tensor

from jepa_lightning.evaluation.world_surprise import world_surprise
from jepa_lightning.features import eval_mode
from jepa_lightning.masking import CausalMask
from jepa_lightning.modules import VJEPA, WorldModel


def surprise(
    module: VJEPA | WorldModel,
    clips: Tensor,
    context_frames: int,
    stride: int = 1,
    window: int | None = None,
    actions: Tensor | None = None,
) -> Tensor:
    """Energy of the later frames given the first ones, in windows that slide over clips.

    A world model is told the actions too: what they do not lead to, such as a jump to another place or a way through a
    wall, has a higher energy than what they do.

    Args:
        module: trained; of a ``VJEPA`` with ``causal_frames`` the last kind of mask is the one that asks for the
            future.
        clips: ``[B, C, T, H, W]``, at least as long as a window.
        context_frames: frames of a window that are seen; the others are predicted.
        stride: frames from one window to the next.
        window: frames of a window; None is ``module.num_frames``, the only one that a ``VJEPA`` takes. With one frame
            more than ``context_frames`` each window is about a single step of a world model.
        actions: ``[B, T - 1, A]`` in the units of the environment, for a ``WorldModel`` alone.

    Returns:
        ``[B, S]``. Window i spans frames ``i * stride`` to ``i * stride + window``.

    Raises:
        ValueError: if the clips are too short, the seen frames are all of a window or (of a ``VJEPA``) no whole number
            of tubelets, or there are actions for a ``VJEPA`` or none for a ``WorldModel``.

    Example:
        >>> import torch
        >>> from jepa_lightning import VJEPA
        >>> from jepa_lightning.evaluation import surprise
        >>> module = VJEPA("vit_tiny", image_size=32, patch_size=8, num_frames=8, depth=1, predictor_depth=1)
        >>> surprise(module, torch.randn(2, 3, 12, 32, 32), context_frames=4, stride=2).shape
        torch.Size([2, 3])
    """
    if isinstance(module, WorldModel):
        if actions is None:
            raise ValueError("a WorldModel predicts what follows from actions: give actions [B, T - 1, A].")
        return world_surprise(module, clips, actions, context_frames, stride, window or module.num_frames)
    if actions is not None or window not in (None, module.num_frames):
        raise ValueError(
            f"{type(module).__name__} takes no actions, and windows of its {module.num_frames} frames alone: leave out "
            "actions and window."
        )
    return _clip_surprise(module, clips, context_frames, stride)


@torch.no_grad()
def _clip_surprise(module: VJEPA, clips: Tensor, context_frames: int, stride: int) -> Tensor:
    length, tubelet = module.num_frames, module.tubelet_size
    if clips.shape[2] < length:
        raise ValueError(f"clips of {clips.shape[2]} frames are shorter than the module's {length}.")
    if context_frames % tubelet or not 0 < context_frames < length:
        raise ValueError(
            f"context_frames={context_frames} must be a multiple of the tubelet's {tubelet} frames, and leave some of "
            f"the {length} to predict."
        )
    masks = CausalMask(module.grid_size, context_frames // tubelet)(len(clips))
    masks = type(masks)(*(index.to(clips.device) for index in masks))
    energies = []
    with eval_mode(module):
        for start in range(0, clips.shape[2] - length + 1, stride):
            window = clips[:, :, start : start + length]
            tokens = module.target_tokens(module.encode_target(window))
            energies.append(module.distance_given(tokens, window, masks, module.num_kinds - 1))
    return torch.stack(energies, dim=1)
