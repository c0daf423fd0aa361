"""How sure a share is that was counted in a few trials."""

from math import sqrt
from statistics import NormalDist

from jepa_lightning.options import NonNegativeInt, OpenShare, PositiveInt, check_values


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a success rate, without continuity correction.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Args:
        successes: at most ``trials``.
        trials: independent ones.
        level: of confidence.

    Returns:
        The lower and the upper end, within 0 and 1.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        >>> from jepa_lightning.evaluation import wilson_interval
        >>> [round(end, 3) for end in wilson_interval(80, 100)]
        [0.711, 0.867]
    """
    hints = {"successes": NonNegativeInt, "trials": PositiveInt, "level": OpenShare}
    check_values("wilson_interval", hints, {"successes": successes, "trials": trials, "level": level})
    if successes > trials:
        raise ValueError(f"wilson_interval: {successes} successes are more than {trials} trials.")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = successes / trials, z**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * sqrt(share * (1 - share) / trials + weight / (4 * trials))
    # rounding would leave 1e-17 where the end is exact
    return (middle - half if successes else 0.0), (middle + half if successes < trials else 1.0)
