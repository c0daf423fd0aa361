"""``jepa-lightning plan``: how often a world model reaches goals."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import seed_everything

from jepa_lightning.cli.planning.checkpoint import load_pixel_model, load_world_model, step_of
from jepa_lightning.cli.planning.measure import measure
from jepa_lightning.cli.planning.options import parsed
from jepa_lightning.cli.planning.output import FILM, RESULTS, check_output, write
from jepa_lightning.cli.planning.pictures import film, show_in_tensorboard
from jepa_lightning.cli.planning.table import table
from jepa_lightning.cli.run_lock import locked
from jepa_lightning.planning.making import make_task, with_model
from jepa_lightning.planning.protocol import reduction, replanning
from jepa_lightning.planning.task import Control
from jepa_lightning.report.provenance import command_line, versions


def plan(arguments: Sequence[str]) -> None:
    """Plans with a world model in an environment, beside baselines, and writes what came of it.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood, or the environment and the checkpoint do not fit each other.
        ValueError: if an option is out of its range, or the checkpoint is of another class.
        RuntimeError: if the results cannot be written.
    """
    options, planner_for = parsed(list(arguments))
    output = check_output(options.output, options.overwrite)
    model = load_world_model(options.ckpt_path, options.device, options.model, options.encoder)
    seed_everything(options.seed, verbose=False)
    begin = time.perf_counter()
    task = make_task(model, options.env, options.episodes, options.env_options, options.frame_skip, options.max_steps)
    with closing(task.env):
        planner = planner_for(task.frame_skip)
        replan_every = replanning(options.replan_every, planner, options.protocol, task.frame_skip)
        cost = reduction(options.cost, options.protocol)
        control = Control(planner, replan_every, cost, options.warm_start)
        other = with_model(task, load_pixel_model(options.pixels, options.device)) if options.pixels else None
        found, episodes = measure(task, control, options.seed, other)
    checkpoint = Path(options.ckpt_path)
    results: dict[str, Any] = {
        **found,
        "planner": repr(planner),
        "replan_every": control.replan_every,
        "cost": control.reduce,
        "warm_start": control.warm_start,
        "protocol": options.protocol,
        "env": options.env,
        "env_options": options.env_options,
        "episodes": options.episodes,
        "max_steps": task.max_steps,
        "frame_skip": task.frame_skip,
        "seed": options.seed,
        "checkpoint": str(checkpoint),
        "checkpoint_step": step_of(checkpoint),
        "pixels_checkpoint": options.pixels,
        "device": str(task.bounds.low.device),
        "threads": torch.get_num_threads(),
        "seconds": time.perf_counter() - begin,
        "command": command_line(),
        "versions": versions(),
    }
    gif = film(episodes)
    print(table(results))
    with locked(output):
        check_output(options.output, options.overwrite)  # another run may have been faster
        write(output, results, gif)
    shown = show_in_tensorboard(gif, checkpoint, results["checkpoint_step"]) if gif else None
    files = [str(output / RESULTS), *([str(output / FILM)] if gif else [])]
    print(f"{' and '.join(files)}{f'; the film is in TensorBoard of {shown} too' if shown else ''}")
