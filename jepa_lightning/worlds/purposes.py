"""What environments are made with for a purpose, so that no layout of two rooms serves two of them."""

from collections.abc import Mapping
from typing import Any, Literal

TWO_ROOMS = ("TwoRooms", "jepa_lightning/TwoRooms-v0", "jepa_lightning.worlds:jepa_lightning/TwoRooms-v0")


def options_for(purpose: Literal["train", "val"], name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of an environment: of two rooms the layouts for a purpose, unless others are given.

    Args:
        purpose: ``train``, to record data to train on, or ``val``, to plan while a model is trained. Without either
            two rooms have the layouts of the test.
        name: of the environment, as for ``make_world``.
        options: that are given.
    """
    return {**({"layouts": purpose} if name in TWO_ROOMS else {}), **options}
