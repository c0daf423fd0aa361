"""How much is planned: a budget for two CPU cores, or the published one."""

from collections.abc import Mapping
from inspect import signature
from typing import Any, Literal

from jepa_lightning.planning import Planner

Protocol = Literal["quick", "published"]

# of the planner, where they are not given; those of a class are its own
QUICK: dict[str, Any] = {"horizon": 20, "num_samples": 64, "num_elites": 8, "iterations": 4}
QUICK_OF = {"GradientPlanner": {"horizon": 20, "num_samples": 16, "iterations": 10}}
QUICK_REPLAN = 5
PUBLISHED_HORIZON = 90  # of EB-JEPA (arXiv 2602.03604), which plans anew at every step


def build_planner(cls: type[Planner], given: Mapping[str, Any], protocol: Protocol) -> Planner:
    """A planner with the options that were given, and those of a protocol beside.

    Args:
        cls: its class.
        given: options of the command line.
        protocol: ``quick``, or ``published``: the defaults of the class with a horizon of 90.

    Raises:
        ValueError: if an option is out of its range.
    """
    known = signature(cls).parameters
    found = {"horizon": PUBLISHED_HORIZON} if protocol == "published" else QUICK_OF.get(cls.__name__, QUICK)
    options = {name: value for name, value in found.items() if name in known} | dict(given)
    if "num_elites" in known and "num_elites" not in given and options.get("num_samples"):
        options["num_elites"] = min(options.get("num_elites", known["num_elites"].default), options["num_samples"])
    return cls(**options)


def replanning(given: int | None, planner: Planner, protocol: Protocol) -> int:
    """Actions that are executed of each plan."""
    return given or (1 if protocol == "published" else min(QUICK_REPLAN, planner.horizon))
