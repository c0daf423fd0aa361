"""Position tables, which a network computes for its own size."""

from typing import Any

from torch import nn

TABLES = ("pos_embed", "predictor_pos_embed")


def tables_of_another_size(state_dict: dict[str, Any], module: nn.Module) -> set[str]:
    """The computed position tables that a state dict has in another size than a module; learned ones are not computed.

    A checkpoint is opened at another image size, patch grid or number of frames by leaving them as they were built.

    Args:
        state_dict: of another module of the same kind.
        module: to be loaded.
    """
    buffers = {name: value for name, value in module.named_buffers() if name.endswith(TABLES)}
    return {name for name, value in buffers.items() if name in state_dict and state_dict[name].shape != value.shape}
