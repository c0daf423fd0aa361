"""``jepa-lightning plan``: how often a world model reaches goals."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning.pytorch import seed_everything

from jepa_lightning.cli.errors import UsageError, explain_usage
from jepa_lightning.cli.planning.checkpoint import load_world_model, step_of
from jepa_lightning.cli.planning.measure import measure
from jepa_lightning.cli.planning.output import FILM, RESULTS, check_output, write
from jepa_lightning.cli.planning.pictures import film, show_in_tensorboard
from jepa_lightning.cli.planning.protocol import Protocol, build_planner, replanning
from jepa_lightning.cli.planning.table import table
from jepa_lightning.options import PositiveInt, Seed, check_values
from jepa_lightning.planning import Planner
from jepa_lightning.planning.latent import Reduce
from jepa_lightning.planning.making import make_task, with_model
from jepa_lightning.planning.task import Control
from jepa_lightning.report.provenance import command_line, versions

RANGES = {
    "episodes": PositiveInt,
    "seed": Seed,
    "replan_every": PositiveInt | None,
    "max_steps": PositiveInt | None,
    "frame_skip": PositiveInt | None,
}


def plan(arguments: Sequence[str]) -> None:
    """Plans with a world model in an environment, beside baselines, and writes what came of it.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood, or the environment and the checkpoint do not fit each other.
        ValueError: if an option is out of its range, or the checkpoint is of another class.
        RuntimeError: if the results cannot be written.
    """
    options, planner_for = _parsed(list(arguments))
    output = check_output(options.output, options.overwrite)
    model = load_world_model(options.ckpt_path, options.device)
    seed_everything(options.seed, verbose=False)
    begin = time.perf_counter()
    task = make_task(model, options.env, options.episodes, options.env_options, options.frame_skip, options.max_steps)
    with closing(task.env):
        planner = planner_for(task.frame_skip)
        replan_every = replanning(options.replan_every, planner, options.protocol, task.frame_skip)
        control = Control(planner, replan_every, options.cost, options.warm_start)
        other = with_model(task, load_world_model(options.pixels, options.device)) if options.pixels else None
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
    write(output, results, gif)
    print(table(results))
    shown = show_in_tensorboard(gif, checkpoint, results["checkpoint_step"]) if gif else None
    files = [str(output / RESULTS), *([str(output / FILM)] if gif else [])]
    print(f"{' and '.join(files)}{f'; the film is in TensorBoard of {shown} too' if shown else ''}")


def _parsed(arguments: list[str]) -> tuple[Namespace, Callable[[int], Planner]]:
    """The options, and what builds the planner that they describe for a frame skip."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
        given = parser.parse_args(arguments, defaults=False)
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error))) from error
    check_values("command line", RANGES, options.as_dict())
    cls = _class(options.planner.class_path)
    chosen = (given.as_dict().get("planner") or {}).get("init_args") or {}
    return options, partial(build_planner, cls, chosen, options.protocol)


def _class(path: str) -> type[Planner]:
    """The planner that the parser has found, which is imported by now."""
    found: list[type[Planner]] = Planner.__subclasses__()
    for cls in found:  # the list grows meanwhile
        found += cls.__subclasses__()
    return next(cls for cls in found if path in (f"{cls.__module__}.{cls.__name__}", _short(cls)))


def _short(cls: type) -> str:
    """The path by which a class of this package is exported."""
    return f"{'.'.join(cls.__module__.split('.')[:2])}.{cls.__name__}"


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="jepa-lightning plan",
        description="Plans with a WorldModel: how often are goals reached, beside random actions, none, and an expert "
        "that knows the true state, on the same episodes. Writes results.json and episodes.gif. Example: "
        "jepa-lightning plan --ckpt_path logs/WorldModel/version_0/checkpoints/last.ckpt "
        "--env jepa_lightning/TwoRooms-v0 --planner MPPI --episodes 100 --output plans",
        exit_on_error=False,
    )
    add = parser.add_argument
    add("--ckpt_path", type=str, required=True, help="Checkpoint of a WorldModel.")
    add("--env", type=str, required=True, help="Name of an environment of gymnasium, whose observations are images.")
    add(
        "--env_options",
        type=dict[str, Any],
        default={},
        help='Options of the environment, as in \'{"layouts": "all"}\'.',
    )
    parser.add_subclass_arguments(
        Planner,
        "planner",
        default={"class_path": "jepa_lightning.planning.MPPI"},
        help="MPPI, CEM, ICEM or GradientPlanner, with its options, such as --planner.num_samples 64.",
    )
    add(
        "--protocol",
        type=Protocol,
        default="quick",
        help="What the planner's options are where they are not given: quick for two CPU cores, or published (horizon "
        "90, plans at every step, and the defaults of the class), which takes hundreds of times as long.",
    )
    add("--episodes", type=int, default=100, help="Number of episodes, all of which run at once.")
    add("--output", type=str, required=True, help="Folder for the results.")
    add(
        "--replan_every",
        type=int | None,
        default=None,
        help="Actions executed of each plan; by default the protocol's.",
    )
    add(
        "--cost",
        type=Reduce,
        default="sum",
        help="The distance to the goal at all steps of a plan, or at the last one.",
    )
    add(
        "--pixels",
        type=str | None,
        default=None,
        help="Checkpoint of a WorldModel in pixel space to compare with, such as configs/world/quickstart_pixels.yaml "
        "trains: planned with in the same way on the same episodes.",
    )
    add("--warm_start", type=bool, default=True, help="Begin a search with the plan before.")
    add("--max_steps", type=int | None, default=None, help="Actions of an episode; by default the environment's limit.")
    add(
        "--frame_skip",
        type=int | None,
        default=None,
        help="Actions of the environment for one step of the model; by default what the checkpoint has from its data.",
    )
    add("--seed", type=int, default=0, help="Of the first episode; the others have those that follow.")
    add("--device", type=str, default="auto", help="cpu, cuda, cuda:1 or auto.")
    add("--overwrite", type=bool, default=False, help="Replace results of this command in the folder.")
    return parser
