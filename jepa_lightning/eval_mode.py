"""Eval mode for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


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
