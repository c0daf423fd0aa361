# E episodes
"""Success of a planner, and of baselines on the same episodes."""

from typing import Any

from tqdm import tqdm

from jepa_lightning.cli.planning.diagnose import distance_table, rollout_table
from jepa_lightning.evaluation import wilson_interval
from jepa_lightning.planning import PlanningPolicy, RandomPolicy, ZeroPolicy, episode_generators
from jepa_lightning.planning.episodes import Episodes, Policy, Scene
from jepa_lightning.planning.task import Control, Task

RECORDED = 16  # episodes that are kept for films and diagnostics


def measure(task: Task, control: Control, seed: int, pixels: Task | None = None) -> tuple[dict[str, Any], Episodes]:
    """Runs the planner and the baselines.

    Args:
        task: model and environment.
        control: how to plan.
        seed: of the first episode, and of all random actions.
        pixels: the same episodes with a model in pixel space, where there is one to compare with.

    Returns:
        Results, and the episodes of the planner.
    """
    seeds = task.unsolved_seeds(seed)
    number = len(seeds)
    policy = task.policy(control, seed)
    planned = _planned(task, policy, seeds)
    at_random = _run(task, RandomPolicy(task.bounds, episode_generators(seed + 1, number)), seeds)
    baselines = {
        "random": at_random,
        "zero": _run(task, ZeroPolicy(task.bounds), seeds),
        "oracle": _run(task, task.expert, seeds) if task.has_expert else None,
        "pixels": None if pixels is None else _planned(pixels, pixels.policy(control, seed), seeds),
    }
    results = _score("", planned)
    for name, episodes in baselines.items():
        results |= _score(name, episodes)
    results |= {
        "above_random": results["success"] - results["random"],
        "seconds_per_plan": policy.seconds / max(policy.plans, 1),
        "seconds_per_episode": policy.seconds / number,
        "plans": policy.plans,
        "rollout_error": rollout_table(task, at_random),
        "distance": distance_table(task, baselines["oracle"] or planned),
        "seeds": seeds,
        "episode_success": planned.success.tolist(),
    }
    return results, planned


def _planned(task: Task, policy: PlanningPolicy, seeds: list[int]) -> Episodes:
    with tqdm(total=task.max_steps, unit="step", delay=1, leave=False) as bar:
        return _run(task, _watched(policy, bar), seeds, policy.memory)


def _run(task: Task, policy: Policy, seeds: list[int], memory: int = 1) -> Episodes:
    return task.run(policy, seeds, memory, min(RECORDED, len(seeds)))


def _watched(policy: PlanningPolicy, bar: Any) -> Policy:
    """The same policy, which moves a bar of the steps that are over."""

    def act(scene: Scene) -> Any:
        bar.set_postfix_str(f"{len(scene.running)} episodes under way", refresh=False)
        bar.update(bar.total - scene.steps_left - bar.n)
        return policy(scene)

    return act


def _score(name: str, episodes: Episodes | None) -> dict[str, Any]:
    """Success rate, its interval, and the mean of the steps to the goal; None where nobody was asked."""
    share, interval, steps = (name or "success", f"{name}_interval".lstrip("_"), f"{name}_steps".lstrip("_"))
    if episodes is None:
        return {share: None, interval: None, steps: None}
    reached, number = int(episodes.success.sum()), len(episodes.success)
    mean = float(episodes.steps[episodes.success].float().mean()) if reached else None
    return {share: reached / number, interval: list(wilson_interval(reached, number)), steps: mean}
