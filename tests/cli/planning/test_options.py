from typing import Any

import pytest

from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.planning.options import parsed
from jepa_lightning.planning import CEM, MPPI, GradientPlanner

NEEDED = ["--ckpt_path", "last.ckpt", "--env", "TwoRooms", "--output", "out"]


def test_options_of_the_planner_that_are_given_count_and_others_are_the_protocols() -> None:
    options, planner_for = parsed([*NEEDED, "--planner", "CEM", "--planner.num_samples", "7", "--cost", "last"])
    planner = planner_for(1)
    assert isinstance(planner, CEM)
    assert (planner.num_samples, planner.num_elites <= 7, options.cost) == (7, True, "last")
    assert planner.iterations != CEM().iterations
    published = parsed([*NEEDED, "--planner", "CEM", "--protocol", "published"])[1](1)
    assert (published.iterations, published.horizon) == (CEM().iterations, 90)


def test_what_is_not_given_is_left_to_the_checkpoint_and_the_environment() -> None:
    options, planner_for = parsed(NEEDED)
    assert (options.frame_skip, options.max_steps, options.replan_every, options.pixels) == (None,) * 4
    assert isinstance(planner_for(4), MPPI)
    assert planner_for(4).horizon % 4 == 0


def test_planners_are_named_by_their_class_or_its_path() -> None:
    for name in ("GradientPlanner", "jepa_lightning.planning.GradientPlanner"):
        assert isinstance(parsed([*NEEDED, "--planner", name])[1](1), GradientPlanner)


@pytest.mark.parametrize(
    ("given", "kind", "fault"),
    [
        (("--planner.horizon", "x"), UsageError, "planner.horizon: expected int, got x"),
        (("--planner", "MPI"), UsageError, "planner: there is no class 'MPI': did you mean 'MPPI'"),
        (("--planner.number", "3"), UsageError, "MPPI has no option 'number'"),
        (("--cost", "mean"), UsageError, "cost: expected one of 'sum', 'last', got mean"),
        (("--episodes", "0"), ValueError, "command line: episodes=0 is out of range"),
        (("--frame_skip", "-1"), ValueError, "command line: frame_skip=-1 is out of range"),
    ],
)
def test_what_cannot_be_understood_is_one_line(given: tuple[str, ...], kind: Any, fault: str) -> None:
    with pytest.raises(kind) as error:
        parsed([*NEEDED, *given])
    assert str(error.value).startswith(fault)
