"""What an error says when a network asks for an option that its module does not have yet."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def building(module: nn.Module) -> Iterator[None]:
    """Says the order of construction where networks need an attribute that a subclass sets later.

    Args:
        module: whose networks are built in the block.

    Raises:
        AttributeError: if it has no such attribute.
    """
    try:
        yield
    except AttributeError as error:
        if not str(error).startswith(f"'{type(module).__name__}' object has no attribute"):
            raise
        raise AttributeError(
            f"{str(error).rstrip('.')}: networks are built within super().__init__(), so set what they need before "
            "that call."
        ) from error
