import pytest
from scipy.stats import binomtest

from jepa_lightning.evaluation import wilson_interval


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (1, 1), (0, 20), (3, 20), (87, 100), (100, 100), (500, 999)])
def test_it_is_the_interval_of_scipy(successes: int, trials: int, level: float) -> None:
    expected = binomtest(successes, trials).proportion_ci(level, method="wilson")
    assert wilson_interval(successes, trials, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((3, 2), "wilson_interval: 3 successes are more than 2 trials"),
        ((0, 0), "wilson_interval: trials=0 is out of range"),
        ((-1, 5), "wilson_interval: successes=-1 is out of range"),
        ((1, 5, 1.0), "wilson_interval: level=1 is out of range"),
    ],
)
def test_what_is_no_count_is_one_line(arguments: tuple[float, ...], fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        wilson_interval(*arguments)
