# B batch, C channels, T H W frames, height, width, N tokens, D width, V views
"""Features of samples that evaluation shows in several views."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


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
