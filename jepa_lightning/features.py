# B batch, C channels, T H W frames, height, width, N tokens, D width, V views
"""Features of a network: over several views of a sample, and without a trace in a network that trains."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MAX_PIXEL_VALUES = 3 * 48 * 48  # of a view as features; larger ones are averaged down to as many


def encode(module: nn.Module, views: Sequence[Tensor], **options: Any) -> Tensor:
    """What a module makes of all views of some samples.

    Args:
        module: called with a view and the options; gives ``[B, D]`` features, or ``[B, N, D]`` tokens.
        views: ``[B, C, H, W]`` or ``[B, C, T, H, W]`` each.
        options: of ``JEPAModule.forward``.

    Returns:
        The mean of the features, ``[B, D]``, or all tokens side by side, ``[B, V * N, D]``, as V-JEPA pools them.
    """
    encoded = [module(view, **options) for view in views]
    return torch.stack(encoded).mean(dim=0) if encoded[0].ndim == 2 else torch.cat(encoded, dim=1)


def as_features(found: Any) -> Tensor:
    """Pooled features ``[B, D]``: the mean of tokens or of a map over places.

    Args:
        found: features ``[B, D]``, tokens ``[B, N, D]``, or a channels-first map ``[B, D, H, W]`` or
            ``[B, D, T, H, W]``.

    Raises:
        ValueError: if it is none of these.

    Example:
        >>> as_features(torch.zeros(2, 8, 4, 4)).shape, as_features(torch.zeros(2, 16, 8)).shape
        (torch.Size([2, 8]), torch.Size([2, 8]))
    """
    if _is_floats(found) and found.ndim == 2:
        features: Tensor = found
        return features
    if _is_floats(found) and 3 <= found.ndim <= 5:
        return as_tokens(found).mean(dim=1)
    raise ValueError(f"features are [B, D], [B, N, D], [B, D, H, W] or [B, D, T, H, W] of floats, not {_form(found)}")


def as_tokens(found: Any) -> Tensor:
    """Tokens ``[B, N, D]``: places of a map are tokens.

    Args:
        found: tokens ``[B, N, D]``, or a channels-first map ``[B, D, H, W]`` or ``[B, D, T, H, W]``.

    Raises:
        ValueError: if it is none of these.

    Example:
        >>> as_tokens(torch.zeros(2, 8, 4, 4)).shape
        torch.Size([2, 16, 8])
    """
    if not (_is_floats(found) and 3 <= found.ndim <= 5):
        raise ValueError(f"tokens are [B, N, D], [B, D, H, W] or [B, D, T, H, W] of floats, not {_form(found)}")
    tokens: Tensor = found if found.ndim == 3 else found.flatten(2).transpose(1, 2)
    return tokens


def as_pixels(view: Tensor) -> Tensor:
    """A view as the features of no encoder at all: its pixels, averaged down where there are many.

    Args:
        view: ``[B, C, H, W]``, ``[B, C, T, H, W]``, or a series ``[B, C, T]``.

    Returns:
        ``[B, D]`` of at most 3 * 48 * 48 values.
    """
    if view.ndim == 3:  # an image of one row
        view = view.unsqueeze(-2)
    frames = view.float().flatten(1, -3)
    side = int((MAX_PIXEL_VALUES / frames.shape[1]) ** 0.5)
    height, width = frames.shape[2:]
    return F.adaptive_avg_pool2d(frames, (min(side, height), min(side, width))).flatten(1)


def _is_floats(found: Any) -> bool:
    return isinstance(found, Tensor) and found.is_floating_point()


def _form(found: Any) -> str:
    return f"{found.dtype} {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Puts a network into eval mode and every layer back into the mode it was in.

    So a look at a network in training draws no random numbers and moves no running statistics, and a layer that is in
    eval mode on purpose stays there.

    Args:
        module: the network.
    """
    modes = [(layer, layer.training) for layer in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for layer, mode in modes:
            layer.training = mode
