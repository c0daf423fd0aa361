"""The results of planning, for people."""

from collections.abc import Mapping
from typing import Any

POLICIES = ("random", "zero", "oracle", "pixels")
SHOWN = (1, 2, 4, 8, 16)  # steps of a rollout


def table(results: Mapping[str, Any]) -> str:
    """Lines about what was measured.

    Args:
        results: as they are written.
    """
    lines = [f"{results['planner']}: {results['episodes']} episodes of {results['env']}", ""]
    lines.append(f"{'':<10}{'success':>9}{'95 % interval':>17}{'steps':>8}")
    rows = [("plan", results["success"], results["interval"], results["steps"])]
    for name in POLICIES:
        if results[name] is not None:
            rows.append((name, results[name], results[f"{name}_interval"], results[f"{name}_steps"]))
    for name, share, (low, high), steps in rows:
        taken = "-" if steps is None else f"{steps:.0f}"
        lines.append(f"{name:<10}{100 * share:>7.0f} %{f'{100 * low:.0f} to {100 * high:.0f} %':>17}{taken:>8}")
    lines.append("steps: mean of those that reached the goal")
    if errors := results["rollout_error"]:
        steps_shown = [step for step in SHOWN if step <= len(errors["true"])]
        lines += ["", f"{'rollout error after':<20}" + "".join(f"{step:>8}" for step in steps_shown) + "  steps"]
        for name, values in errors.items():
            lines.append(f"{name:<20}" + "".join(f"{values[step - 1]:>8.3f}" for step in steps_shown))
        lines.append("in units of the variance of states; with true, shuffled and no actions, and of standing still")
    if curve := results["distance"]:
        lines += ["", f"{'distance in the world':<26}" + "".join(f"{value:>7.1f}" for value in curve["true"])]
        lines.append(f"{'distance in representation':<26}" + "".join(f"{value:>7.3f}" for value in curve["latent"]))
        lines.append(f"rank correlation {curve['rank_correlation']:.3f}")
    lines += ["", f"{results['seconds_per_plan']:.4f} s a plan, {results['seconds_per_episode']:.2f} s an episode"]
    return "\n".join(lines)
