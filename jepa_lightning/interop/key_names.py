"""Names of tensors from one library to another and back, as a table of patterns."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Table = Sequence[tuple[str, str]]  # theirs, ours; {i} stands for a number


def rename(name: str, table: Table) -> str | None:
    """The second of a pair whose first is the start of a name, with the rest of the name; None if none is.

    Args:
        name: of a tensor.
        table: pairs; the longest that fits is taken.
    """
    found: tuple[int, str] | None = None
    for one, other in table:
        pattern = re.escape(one).replace(r"\{i\}", r"(\d+)") + r"(?=\.|$)"
        match = re.match(pattern, name)
        if match and (found is None or match.end() > found[0]):
            found = match.end(), other.replace("{i}", next(iter(match.groups()), ""))
    return None if found is None else found[1] + name[found[0] :]


def number_behind(prefix: str, name: str) -> int | None:
    """The number behind the start of a name, as in ``blocks.3.norm``; None where there is something else.

    Args:
        prefix: the start, with its point.
        name: of a tensor, from a file that may hold any names.
    """
    # short, and in the form that it is written in: int() takes signs, spaces and numerals of all scripts too
    found = re.match(re.escape(prefix) + r"(0|[1-9][0-9]{0,5})(?=\.|$)", name)
    return int(found[1]) if found else None


def back(table: Table) -> Table:
    """The same table the other way."""
    return [(ours, theirs) for theirs, ours in table]


def split_qkv(state: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Parts a layer ``X.qkv`` of queries, keys and values into three.

    Args:
        state: with ``X.qkv.weight`` and ``X.qkv.bias``.
        names: of the three, in the place of ``qkv``.
    """
    parted: dict[str, Tensor] = {}
    for name, value in state.items():
        before, found, after = name.rpartition("qkv.")
        if not found:
            parted[name] = value
            continue
        for part, one in zip(names, value.chunk(3), strict=True):
            parted[f"{before}{part}.{after}"] = one
    return parted


def join_qkv(state: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, Tensor]:
    """Joins three layers, such as ``X.query``, ``X.key`` and ``X.value``, into ``X.qkv``.

    Args:
        state: with all three of each.
        names: of the three.

    Raises:
        ValueError: if one of three is missing, they do not fit, or ``X.qkv`` is there already.
    """
    joined: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, value in state.items():
        found = re.match(rf"(.*\.)({'|'.join(names)})\.(weight|bias)$", name)
        if found:
            parts.setdefault(f"{found[1]}qkv.{found[3]}", {})[names.index(found[2])] = value
        else:
            joined[name] = value
    for name, three in parts.items():
        if len(three) != 3:
            lacking = next(names[i] for i in range(3) if i not in three)
            raise ValueError(f"the weights lack {name.replace('qkv', lacking)}.")
        if len({(three[i].shape, three[i].dtype) for i in range(3)}) > 1 or not three[0].ndim:
            raise ValueError(f"the weights have {', '.join(names)} of several shapes or types for {name}.")
        if name in joined:
            raise ValueError(f"the weights have {name} twice: as one tensor, and as {', '.join(names)}.")
        joined[name] = torch.cat([three[i] for i in range(3)])
    return joined
