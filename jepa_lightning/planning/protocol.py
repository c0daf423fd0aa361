"""How much is planned: a budget for two CPU cores, or the published one."""

from collections.abc import Mapping
from inspect import signature
from typing import Any, Literal

from jepa_lightning.planning.base import Planner
from jepa_lightning.planning.latent import Reduce

Protocol = Literal["quick", "published"]

# of the planner, where they are not given; those of a class are its own
# A way around a wall first leads away from the goal: the distance at the last step tells what it gains, and the sum
# over steps what it costs. It needs a long horizon, and is found among few samples only where these keep their
# direction and reach far (examples/benchmarks/planning_ceiling.py).
QUICK: dict[str, Any] = {
    "horizon": 80, "num_samples": 64, "num_elites": 8, "iterations": 4, "sigma": 1.0, "temperature": 0.02, "beta": 2.5
}  # fmt: skip
QUICK_OF = {"GradientPlanner": {"horizon": 20, "num_samples": 16, "iterations": 10}}
QUICK_REPLAN = 5
QUICK_COST: Reduce = "last"
PUBLISHED_HORIZON = 90  # of EB-JEPA (arXiv 2602.03604), which plans anew at every step


def build_planner(cls: type[Planner], given: Mapping[str, Any], protocol: Protocol, frame_skip: int = 1) -> Planner:
    """A planner with the options that were given, and those of a protocol beside.

    Args:
        cls: its class.
        given: options of the command line.
        protocol: ``quick``, or ``published``: the defaults of the class with a horizon of 90.
        frame_skip: actions for one step of the model; a horizon that is not given is a multiple of it.

    Raises:
        ValueError: if an option is out of its range.
    """
    known = signature(cls).parameters
    found = {"horizon": PUBLISHED_HORIZON} if protocol == "published" else QUICK_OF.get(cls.__name__, QUICK)
    options = {name: value for name, value in found.items() if name in known} | dict(given)
    if "horizon" not in given:
        options["horizon"] = _multiple(options["horizon"], frame_skip)
    if "num_elites" in known and "num_elites" not in given and options.get("num_samples"):
        options["num_elites"] = min(options.get("num_elites", known["num_elites"].default), options["num_samples"])
    return cls(**options)


def replanning(given: int | None, planner: Planner, protocol: Protocol, frame_skip: int = 1) -> int:
    """Actions that are executed of each plan: at least those of one step of the model."""
    if given is not None:
        return given
    return frame_skip if protocol == "published" else min(_multiple(QUICK_REPLAN, frame_skip), planner.horizon)


def reduction(given: Reduce | None, protocol: Protocol) -> Reduce:
    """At which steps of a plan the distance to the goal counts: all, as in EB-JEPA, or the last, unless it is given."""
    return given or ("sum" if protocol == "published" else QUICK_COST)


def _multiple(number: int, frame_skip: int) -> int:
    """The greatest multiple that is not above a number, or one frame skip."""
    return max(number // frame_skip, 1) * frame_skip
