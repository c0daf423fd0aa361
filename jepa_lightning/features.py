# B batch, C channels, T H W frames, height, width, N tokens, D width, V views
"""Features of a network: over several views of a sample, and without a trace in a network that trains."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
