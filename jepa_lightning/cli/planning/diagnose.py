# K recorded episodes, B windows, T frames, F frame skip, A dimension of an action
"""Diagnostics of a world model on recorded episodes."""

from typing import Any

import torch
from torch import Tensor

from jepa_lightning.planning import distance_curve, rollout_errors
from jepa_lightning.planning.episodes import Episodes
from jepa_lightning.planning.task import Task

LENGTHS = (16, 8, 4, 2, 1)  # of rollouts in steps: the first for which there are windows
AT_ONCE = 64  # frames that are encoded


def rollout_table(task: Task, episodes: Episodes) -> dict[str, list[float]] | None:
    """Errors of rollouts against the horizon; None where no episode is long enough.

    Args:
        task: whose model is judged.
        episodes: recorded ones.
    """
    skip, known, device = task.frame_skip, task.history, task.bounds.low.device
    for length in LENGTHS:
        frames, actions = _windows(episodes, skip, known + length)
        if len(frames) > 1:
            errors = rollout_errors(task.model, frames.to(device), actions.to(device), known)
            return {name: values.tolist() for name, values in errors._asdict().items()}
    return None


def _windows(episodes: Episodes, skip: int, length: int) -> tuple[Tensor, Tensor]:
    """Windows of frames one after the other, none across the end of an episode, and the actions between them."""
    frames, actions = [], []
    reach = (length - 1) * skip  # in actions
    for row in range(len(episodes.frames)):
        for start in range(0, int(episodes.steps[row]) - reach + 1, reach):
            frames.append(episodes.frames[row, start : start + reach + 1 : skip])
            actions.append(episodes.actions[row, start : start + reach].reshape(reach // skip, -1))
    return (torch.stack(frames), torch.stack(actions)) if frames else (torch.zeros(0), torch.zeros(0))


@torch.no_grad()
def distance_table(task: Task, episodes: Episodes) -> dict[str, Any] | None:
    """Distance to the goal in representation against that in the world; None where positions are not known.

    Args:
        task: whose model is judged.
        episodes: recorded ones.
    """
    if not episodes.positions.shape[-1] or episodes.positions.shape[-1] != episodes.goal_positions.shape[-1]:
        return None
    true, latent = [], []
    for row in range(len(episodes.frames)):
        last = int(episodes.steps[row]) + 1
        places = episodes.positions[row, :last]
        true.append((places - episodes.goal_positions[row]).norm(dim=-1))
        states = torch.cat([_encode(task, part) for part in torch.split(episodes.frames[row, :last], AT_ONCE)])
        goal = _encode(task, episodes.goals[row][None])
        latent.append(task.model.cost(states[:, None], goal.expand_as(states), reduce="last").cpu())
    if sum(map(len, true)) < 2:
        return None
    curve = distance_curve(torch.cat(true), torch.cat(latent))
    return {"true": curve.true.tolist(), "latent": curve.latent.tolist(), "rank_correlation": curve.rank_correlation}


def _encode(task: Task, frames: Tensor) -> Tensor:
    """States of single frames ``[T, H, W, C]``."""
    states: Tensor = task.model.encode(task.model.clip(frames[:, None].to(task.bounds.low.device)))[:, 0]
    return states
