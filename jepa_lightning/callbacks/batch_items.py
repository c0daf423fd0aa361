"""Items of a batch, whatever collection it is: by the index or the key that users write."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from jepa_lightning.options import AnyInt

Item = AnyInt | str
SHOWN = 8  # keys or items in a message


def find_item(batch: Any, item: int | str) -> Any:
    """An item of a batch.

    Args:
        batch: a tuple, a list, a mapping, or an object with named fields, such as a named tuple or a data class.
        item: an index for tuples and lists, a key for mappings, the name of a field for the others.

    Raises:
        LookupError: if the batch has no such item.

    Example:
        >>> find_item({"image": 1, "label": 2}, "label"), find_item((1, 2), -1)
        (2, 2)
    """
    if isinstance(batch, Mapping):
        return batch[item]
    if isinstance(item, str):
        try:
            return getattr(batch, item)
        except AttributeError:
            raise KeyError(item) from None
    if isinstance(batch, Sequence) and not isinstance(batch, str):
        return batch[item]
    raise IndexError(item)


def described(value: Any, depth: int = 1) -> str:
    """What a batch is, for messages: types and shapes, no values."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    kind = type(value).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    if value is None or isinstance(value, str) or depth < 0:
        return "None" if value is None else f"{article} {kind}"
    if isinstance(value, Mapping):
        pairs = [f"{key!r}: {described(each, depth - 1)}" for key, each in list(value.items())[:SHOWN]]
    elif hasattr(value, "_fields"):
        pairs = [f"{key}: {described(each, depth - 1)}" for key, each in zip(value._fields, value, strict=True)]
    elif isinstance(value, Sequence):
        pairs = [described(each, depth - 1) for each in value[:SHOWN]]
    else:
        return f"{article} {kind}"
    more = ", ..." if len(value) > len(pairs) else ""
    return f"{article} {kind} of {len(value)} ({', '.join(pairs)}{more})" if pairs else f"an empty {kind}"
