# B batch, T frames, F frames apart, A numbers of an action, S numbers of a state
"""What belongs to samples beside labels: stacked into a batch, and kept beside the frames that were chosen."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

ACTIONS, STATES = "actions", "states"


def stack_extras(extras: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Extras of the samples of one batch, each ``[B, ...]``; floats become float32, and integers int64.

    Args:
        extras: of each sample; numbers, arrays or tensors by name.

    Raises:
        ValueError: if names or shapes of the extras differ between samples, or a value is not numeric.

    Example:
        >>> stack_extras([{"speed": 1.0}, {"speed": 2.5}])
        {'speed': tensor([1.0000, 2.5000])}
    """
    names = list(extras[0]) if extras else []
    for other in extras:
        if set(other) != set(names):
            odd = sorted(set(other) ^ set(names))
            raise ValueError(
                f"one batch has samples with and without the extra(s) {', '.join(odd)}: give all samples of a data set "
                "the same."
            )
    return {name: _stacked([_number(extra[name], name) for extra in extras], name) for name in names}


def follow_frames(extras: Mapping[str, Any], frames: Sequence[int], num_frames: int) -> dict[str, Tensor]:
    """Extras of a trajectory beside the frames that make a clip of it.

    ``states`` are those of the frames. Of ``actions`` all between two frames are kept, one after the other, so that
    frames F apart have actions of F * A numbers. Extras of other names stay as they are.

    Args:
        extras: of the whole trajectory.
        frames: indices of those that were chosen.
        num_frames: of the whole trajectory.

    Raises:
        ValueError: if the extras are of another length than the trajectory, or the frames are not equally far apart.

    Example:
        >>> import torch
        >>> actions = torch.tensor([[1.0], [2.0], [3.0], [4.0]])  # between 5 frames
        >>> follow_frames({"actions": actions}, [0, 2, 4], num_frames=5)["actions"].tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    found = {name: _number(value, name) for name, value in extras.items()}
    for name, length in ((ACTIONS, num_frames - 1), (STATES, num_frames)):
        if name in found and (found[name].ndim != 2 or len(found[name]) != length):
            raise ValueError(
                f"the extra {name} of a clip of {num_frames} frames must have {length} rows, and has the shape "
                f"{list(found[name].shape)}."
            )
    if STATES in found:
        found[STATES] = found[STATES][list(frames)]
    if ACTIONS in found:
        steps = {after - before for before, after in pairwise(frames)}
        if len(steps) > 1 or min(steps, default=1) < 1:
            raise ValueError(
                f"frames {list(frames)} of {num_frames} are not equally far apart, so that the actions between them "
                "have no common length: choose fewer frames (num_frames) or a smaller frame_step."
            )
        taken = found[ACTIONS][frames[0] : frames[-1]]
        found[ACTIONS] = taken.reshape(len(frames) - 1, min(steps, default=1) * taken.shape[-1])
    return found


def _number(value: Any, name: str) -> Tensor:
    try:
        tensor = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
    except (TypeError, ValueError):
        raise ValueError(f"the extra {name} is a {type(value).__name__}: give numbers, an array or a tensor.") from None
    if tensor.is_complex():
        raise ValueError(f"the extra {name} has complex numbers: give real ones.")
    return tensor.float() if tensor.is_floating_point() else tensor


def _stacked(values: list[Tensor], name: str) -> Tensor:
    shapes = list(dict.fromkeys((tuple(value.shape), str(value.dtype)) for value in values))
    if len(shapes) > 1:
        forms = " and ".join(f"{list(shape)} of {dtype.removeprefix('torch.')}" for shape, dtype in shapes[:2])
        raise ValueError(f"the extra {name} has different shapes in one batch, {forms}: give it one shape.")
    return torch.stack(values)
