# B batch, C channels, T H W frames, height, width, N tokens, D width
"""Images beside clips in one network: a patch embedding for each, and what tells their tokens apart.

Source: V-JEPA 2.1 (arXiv 2603.14482), the multi-modal tokenizer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def is_image(view: Tensor) -> bool:
    """Whether a view ``[B, C, T, H, W]`` is one of images, which have a single frame."""
    return view.ndim == 5 and view.shape[2] == 1


def modality_embedding(width: int) -> nn.Parameter:
    """What is added to every token of a modality, ``[1, 1, D]``, from N(0, 1e-6)."""
    return nn.Parameter(1e-6 * torch.randn(1, 1, width))


def embed_patches(view: Tensor, of_clips: nn.Module, of_images: nn.Module, patch: Sequence[int]) -> Tensor:
    """The tokens of a view, by the patch embedding of its modality.

    The other one is given a single empty patch, and what it makes of that is multiplied by 0: so all parameters have
    gradients in every step on every rank, which DDP and FSDP wait for.

    Args:
        view: ``[B, C, T, H, W]``; one frame is an image.
        of_clips: makes tokens of tubelets.
        of_images: makes tokens of single frames.
        patch: frames, rows and columns of a tubelet.

    Returns:
        ``[B, N, D]``.
    """
    own, other, frames = (of_images, of_clips, patch[0]) if is_image(view) else (of_clips, of_images, 1)
    tokens: Tensor = own(view)
    if torch.is_grad_enabled():
        empty = view.new_zeros(1, view.shape[1], frames, *patch[1:])
        tokens = tokens + 0.0 * other(empty)
    return tokens


def add_modality(tokens: Tensor, image: bool, of_images: Tensor, of_clips: Tensor) -> Tensor:
    """Tokens with the embedding of their modality; the other one has a gradient of 0, as in ``embed_patches``.

    Args:
        tokens: ``[B, N, D]``.
        image: whether they are of images.
        of_images: ``[1, 1, D]``.
        of_clips: ``[1, 1, D]``.

    Returns:
        ``[B, N, D]``.
    """
    own, other = (of_images, of_clips) if image else (of_clips, of_images)
    return tokens + (own + 0.0 * other).to(tokens.dtype)
