"""``jepa-lightning collect``: episodes of a policy in an environment, to an HDF5 file."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentError, ArgumentParser

from jepa_lightning.cli.errors import UsageError, explain_usage
from jepa_lightning.cli.run_lock import locked
from jepa_lightning.data.trajectories.writer import EpisodeParts
from jepa_lightning.options import PositiveInt, Seed, check_values
from jepa_lightning.seeding import seed_from

RANGES = {"episodes": PositiveInt, "seed": Seed, "max_steps": PositiveInt}


def collect(arguments: Sequence[str]) -> None:
    """Records episodes. A run that was stopped or killed resumes when the command is given again.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood.
        ImportError: if a package is not installed.
        ValueError: if there is no such environment or policy, or the output is there already.
        RuntimeError: if the output cannot be written, or the run is stopped.
    """
    parser = _parser()
    try:
        options = parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error), "output")) from error
    try:
        check_values("collect", RANGES, vars(options))
    except ValueError as error:
        raise UsageError(str(error)) from None
    for package in ("gymnasium", "h5py", "tqdm"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"collect needs {package}, which is not installed: pip install 'jepa_lightning[worlds]'", name=package
            )
    output = Path(options.output).expanduser()
    if output.suffix not in (".h5", ".hdf5"):
        raise UsageError(f"{output} is to be an HDF5 file: give a name that ends in .h5 or .hdf5.")
    try:
        rows = _record(output, options)
    except KeyboardInterrupt as error:
        raise RuntimeError(f"stopped: the same command resumes with the episodes in {output}.parts.") from error
    except OSError as error:
        raise RuntimeError(f"cannot write to {output}: {error.strerror or error}.") from error
    print(
        f"{output} holds {options.episodes} episodes of {rows} frames. To train on them: jepa-lightning fit "
        f"--model WorldModel --data TrajectoryDataModule --data.path {output}"
    )


def _record(output: Path, options: Any) -> int:
    """Records what is missing, and gives the number of frames of all episodes."""
    from tqdm import tqdm

    from jepa_lightning.worlds import make_world
    from jepa_lightning.worlds.purposes import options_for
    from jepa_lightning.worlds.recording import choose, record

    made_with = options_for("train", options.env, options.env_options or {})
    world = make_world(options.env, **made_with)
    choose(world, options.policy)
    settings = {
        "env": options.env,
        "env_options": made_with,
        "policy": options.policy,
        "seed": options.seed,
        "max_steps": options.max_steps,
    }
    parts = EpisodeParts(output, settings)
    with locked(parts.folder):
        missing = [episode for episode in range(options.episodes) if episode not in parts]
        with tqdm(total=options.episodes, initial=options.episodes - len(missing), unit="episode", delay=0.1) as bar:
            for episode in missing:
                found = record(world, options.policy, seed_from(options.seed, 0, episode) % 2**32, options.max_steps)
                columns = {name: values for name, values in found._asdict().items() if name != "state" or values.size}
                parts.write(episode, columns)
                bar.update()
        world.close()
        return parts.join(options.episodes)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="jepa-lightning collect",
        description="Records episodes of a policy in an environment of gymnasium, as images with actions and states, "
        "for TrajectoryDataModule. An episode follows from the seed and its number alone; a run that was stopped "
        "resumes when the same command is given again. Needs the extra worlds. Example: "
        "jepa-lightning collect --env TwoRooms --policy random --episodes 1000 rooms.h5",
        exit_on_error=False,
    )
    parser.add_argument("output", type=str, help="The HDF5 file to write, which must not be there yet.")
    parser.add_argument(
        "--env",
        type=str,
        required=True,
        help="TwoRooms, PushT (gym-pusht), PointMaze (gymnasium-robotics), or an id of gymnasium, or module:id.",
    )
    parser.add_argument(
        "--policy",
        type=Literal["random", "expert"],
        default="random",
        help="random: in TwoRooms steps that keep a direction, elsewhere drawn evenly from the action space; expert: "
        "the environment's own method expert().",
    )
    parser.add_argument("--episodes", type=PositiveInt, required=True, help="Number of episodes to record.")
    parser.add_argument("--seed", type=Seed, default=0, help="Seed of environment and policy.")
    parser.add_argument("--max_steps", type=PositiveInt, default=1000, help="Steps after which an episode is ended.")
    parser.add_argument(
        "--env_options",
        type=dict[str, Any],
        default=None,
        help="Options of the environment, as JSON. TwoRooms has {layouts: train} unless others are given.",
    )
    return parser
