"""What ``jepa-lightning plan`` takes on the command line."""

from collections.abc import Callable
from functools import partial
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from jepa_lightning.cli.errors import UsageError, explain_usage
from jepa_lightning.options import PositiveInt, Seed, check_values
from jepa_lightning.planning import Planner
from jepa_lightning.planning.latent import Reduce
from jepa_lightning.planning.protocol import Protocol, build_planner

RANGES = {
    "episodes": PositiveInt,
    "seed": Seed,
    "replan_every": PositiveInt | None,
    "max_steps": PositiveInt | None,
    "frame_skip": PositiveInt | None,
}


def parsed(arguments: list[str]) -> tuple[Namespace, Callable[[int], Planner]]:
    """The options, and what builds the planner that they describe for a frame skip.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood.
        ValueError: if a number is out of its range.
    """
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
        "--env TwoRooms --planner MPPI --episodes 100 --output plans",
        exit_on_error=False,
    )
    _add_episodes(parser)
    _add_planner(parser)
    add = parser.add_argument
    add("--output", type=str, required=True, help="Folder for the results.")
    add("--overwrite", type=bool, default=False, help="Replace results of this command in the folder.")
    add("--device", type=str, default="auto", help="cpu, cuda, cuda:1, or auto: a GPU if there is one.")
    return parser


def _add_episodes(parser: ArgumentParser) -> None:
    """The checkpoints, and where they plan."""
    add = parser.add_argument
    add("--ckpt_path", type=str, required=True, help="Checkpoint of a WorldModel.")
    add("--model", type=str | None, default=None, help="The class of the checkpoint, where it is your own: my.Own.")
    add("--encoder", type=str | None, default=None, help="The class of its encoder, where it is your own: my.Encoder.")
    add(
        "--env",
        type=str,
        required=True,
        help="TwoRooms, PushT, PointMaze, or an id of gymnasium, or module:id; it must be seen in images.",
    )
    add(
        "--env_options",
        type=dict[str, Any],
        default={},
        help='Options of the environment, as in \'{"layouts": "all"}\'.',
    )
    add("--episodes", type=int, default=100, help="Number of episodes, all of which run at once.")
    add("--max_steps", type=int | None, default=None, help="Actions of an episode; by default the environment's limit.")
    add(
        "--frame_skip",
        type=int | None,
        default=None,
        help="Actions of the environment for one step of the model; by default what the checkpoint has from its data.",
    )
    add("--seed", type=int, default=0, help="Seed of the first episode; the others have those that follow.")
    add(
        "--pixels",
        type=str | None,
        default=None,
        help="Checkpoint of a WorldModel in pixel space to compare with, such as configs/world/quickstart_pixels.yaml "
        "trains: planned with in the same way on the same episodes.",
    )


def _add_planner(parser: ArgumentParser) -> None:
    """How they plan."""
    add = parser.add_argument
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
    add(
        "--replan_every",
        type=int | None,
        default=None,
        help="Actions executed of each plan; by default the protocol's.",
    )
    add(
        "--cost",
        type=Reduce | None,
        default=None,
        help="The distance to the goal in sum over the steps of a plan, or at the last one; by default the protocol's: "
        "quick has last, and published sum.",
    )
    add("--warm_start", type=bool, default=True, help="Begin a search with the plan before.")
