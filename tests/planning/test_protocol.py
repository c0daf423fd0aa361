from inspect import signature
from typing import Any

import pytest

from jepa_lightning.planning import CEM, ICEM, MPPI, GradientPlanner
from jepa_lightning.planning.protocol import QUICK, QUICK_REPLAN, build_planner, reduction, replanning


@pytest.mark.parametrize("cls", [CEM, MPPI, ICEM])
def test_quick_is_for_what_is_not_given(cls: Any) -> None:
    planner = build_planner(cls, {"num_samples": 30, "sigma": 0.7}, "quick")
    own = {name: value for name, value in QUICK.items() if name in signature(cls).parameters}
    assert {"horizon", "num_elites", "iterations"} <= own.keys()
    assert vars(planner) == vars(cls(**{**own, "num_samples": 30, "sigma": 0.7}))


@pytest.mark.parametrize("cls", [CEM, MPPI, ICEM, GradientPlanner])
def test_published_is_the_class_with_a_horizon_of_90(cls: Any) -> None:
    assert vars(build_planner(cls, {}, "published")) == vars(cls(horizon=90))
    assert build_planner(cls, {"horizon": 7}, "published").horizon == 7


def test_the_last_step_counts_or_all_of_them() -> None:
    assert reduction(None, "quick") == "last"
    assert reduction(None, "published") == "sum"
    assert reduction("sum", "quick") == "sum"
    assert reduction("last", "published") == "last"


def test_few_samples_have_few_elites_unless_they_are_given() -> None:
    assert build_planner(MPPI, {"num_samples": 4}, "quick").num_elites == 4  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="num_elites=9 are more than num_samples=4"):
        build_planner(MPPI, {"num_samples": 4, "num_elites": 9}, "quick")


def test_plans_are_made_anew_every_few_steps_or_at_each() -> None:
    assert replanning(None, CEM(horizon=20), "quick") == QUICK_REPLAN
    assert replanning(None, CEM(horizon=2), "quick") == 2
    assert replanning(None, CEM(horizon=90), "published") == 1
    assert replanning(3, CEM(horizon=90), "published") == 3


@pytest.mark.parametrize(
    ("skip", "protocol", "horizon", "executed"),
    [(4, "quick", QUICK["horizon"] // 4 * 4, 4), (6, "quick", QUICK["horizon"] // 6 * 6, 6), (4, "published", 88, 4)],
)
def test_what_is_not_given_fits_the_frame_skip(skip: int, protocol: Any, horizon: int, executed: int) -> None:
    planner = build_planner(MPPI, {}, protocol, skip)
    assert planner.horizon == horizon
    assert replanning(None, planner, protocol, skip) == executed


def test_a_frame_skip_beyond_the_horizon_is_one_step_of_the_model() -> None:
    planner = build_planner(MPPI, {}, "quick", 200)
    assert (planner.horizon, replanning(None, planner, "quick", 200)) == (200, 200)
