"""Networks that get their weights from a file without having held others before."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _Empty(TorchFunctionMode):
    """Parameters take no memory; tables, which are computed, are as ever."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        if func is torch.empty and options.get("device") is None:
            options["device"] = "meta"
        return func(*args, **options)


@contextmanager
def without_weights() -> Iterator[None]:
    """Within the block, layers are built with parameters that take no memory, for ``fill_`` to put others there."""
    with _Empty():
        yield


def fill_(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Makes tensors the parameters and buffers of a network, without a copy where the type is the network's.

    Args:
        network: built under ``without_weights`` or not.
        state: all of them by name.

    Raises:
        RuntimeError: as ``load_state_dict``.
    """
    own = network.state_dict()
    fitting = {name: value.to(own[name].dtype) if name in own else value for name, value in state.items()}
    network.load_state_dict(fitting, assign=True)
