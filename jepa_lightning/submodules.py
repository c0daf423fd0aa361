"""Networks inside a LightningModule, by the dotted names that users write."""

from torch import nn


def submodule(module: nn.Module, name: str) -> nn.Module:
    """The network of a dotted name, as ``nn.Module.named_modules`` gives it.

    Args:
        module: where to look.
        name: such as ``backbone`` or ``encoder.layers.3``; an empty name is the module itself.

    Raises:
        ValueError: if there is none, with the names that there are.

    Example:
        >>> submodule(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), "0")
        Linear(in_features=2, out_features=3, bias=True)
    """
    try:
        return module.get_submodule(name)
    except AttributeError:
        found = [child for child, _ in module.named_children()]
        there_are = f"its submodules are {', '.join(found)}" if found else "it has no submodules"
        raise ValueError(f"{type(module).__name__} has no submodule '{name}': {there_are}.") from None
