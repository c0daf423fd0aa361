# N layouts
"""Where the wall and the door of two rooms may be, shared out so that no layout serves two purposes."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Layouts = Literal["fixed", "train", "val", "test", "all"]

WALLS = (20, 44)  # columns
DOORS = (10, 54)  # rows
FIXED = (32, 18)  # column of the wall and row of the door in the fixed variant
SHARES = {"val": 0.1, "test": 0.2}  # the others are for training
NAMES: tuple[Layouts, ...] = ("fixed", "train", "val", "test", "all")


def layouts_of(name: Layouts) -> NDArray[np.int64]:
    """Columns of walls and rows of doors, ``[N, 2]``.

    The 25 walls and 45 doors make 1125 layouts: 788 to train on, 112 to validate and 225 to test, drawn once and for
    all. So a layout of the test differs from each one of training, if perhaps by one pixel.

    Args:
        name: "train", "val" or "test"; "all" of them; or "fixed", with the wall at 32 and the door at 18.

    Raises:
        ValueError: if there is none of that name.

    Example:
        >>> from jepa_lightning.worlds.layouts import layouts_of
        >>> [len(layouts_of(name)) for name in ("train", "val", "test", "all", "fixed")]
        [788, 112, 225, 1125, 1]
    """
    if name not in NAMES:
        raise ValueError(f"there are no layouts {name!r} of two rooms: give one of {', '.join(NAMES)}.")
    if name == "fixed":
        return np.array([FIXED])
    walls, doors = (np.arange(low, high + 1) for low, high in (WALLS, DOORS))
    every = np.stack(np.meshgrid(walls, doors, indexing="ij"), axis=-1).reshape(-1, 2)
    if name == "all":
        return every
    # the stream of this generator is promised never to change
    order = np.random.RandomState(0).permutation(len(every))
    val = int(len(every) * SHARES["val"])
    test = val + int(len(every) * SHARES["test"])
    places = {"val": slice(0, val), "test": slice(val, test), "train": slice(test, None)}[name]
    return every[np.sort(order[places])]
