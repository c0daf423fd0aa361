"""Ranges that sizes of blocks are drawn from."""

import math


def between(limits: tuple[float, float], share: float) -> float:
    """The number at a share of the way from the smallest to the largest."""
    return limits[0] + share * (limits[1] - limits[0])


def check_range(name: str, limits: tuple[float, float], highest: float) -> None:
    """Refuses what is no range of positive numbers up to the highest.

    Raises:
        ValueError: with the name and the numbers.
    """
    if not (0 < limits[0] <= limits[1] <= highest and math.isfinite(limits[1])):
        bound = f" <= {highest:g}" if math.isfinite(highest) else ""
        raise ValueError(f"{name} {limits} is no range: give (smallest, largest) with 0 < smallest <= largest{bound}.")
