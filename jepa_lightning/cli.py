"""The command line: ``jepa-lightning``, a LightningCLI that knows this package by name."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightning
from jsonargparse import ActionConfigFile, ArgumentError  # type: ignore[attr-defined]  # it is in `__all__`
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.distributed.checkpoint.api import CheckpointException

from jepa_lightning.callbacks import LastCheckpoint, OnlineLinearProbe, Summary
from jepa_lightning.callbacks.held_signals import exiting_on_signals
from jepa_lightning.checkpoints import (
    CheckpointFiles,
    check_shards,
    last_checkpoint,
    model_arguments,
    present,
    written_by,
)
from jepa_lightning.cli_trainer import CLITrainer
from jepa_lightning.config_files import ConfigParser, check_arguments
from jepa_lightning.consolidate import consolidate
from jepa_lightning.data import JEPADataModule
from jepa_lightning.errors import UsageError, explain, explain_usage
from jepa_lightning.errors.usage import unknown_command
from jepa_lightning.methods import methods
from jepa_lightning.modules import JEPAModule
from jepa_lightning.null_options import check_nulls
from jepa_lightning.optimize import optimize
from jepa_lightning.rank_variables import check_rank_variables

COMMANDS = ("fit", "validate", "test", "predict")
# readers of folders of shards
FSDP = {ModelParallelStrategy: "FSDP2", FSDPStrategy: "FSDP1"}
TOOLS = {"optimize": optimize, "consolidate": consolidate, "methods": methods}
DEBUG = "JEPA_LIGHTNING_DEBUG"
NO_LAST = ".*there is no last checkpoint available"


class JEPACLI(LightningCLI):
    """LightningCLI for any ``JEPAModule`` on any ``JEPADataModule``.

    Beside Lightning's own behaviour: ``fit`` logs to TensorBoard under ``default_root_dir/MODEL``, keeps ``last.ckpt``
    and prints a summary, unless the configuration says otherwise; the options of the model come from a checkpoint where
    one is given, and options of the command line win over it; ``--ckpt_path last`` goes on with the latest run, and
    ``auto`` does so if there is one.

    Args:
        args: arguments of the command line; None takes those of the process.
    """

    def __init__(self, args: Sequence[str] | None = None) -> None:
        self.arguments = list(sys.argv[1:] if args is None else args)
        self.checkpoint: str | None = None
        self.run_folder: Path | None = None  # of the run that is gone on with
        parser_options: dict[str, Any] = {"exit_on_error": False}
        super().__init__(
            JEPAModule,
            JEPADataModule,
            trainer_class=CLITrainer,
            trainer_defaults={"default_root_dir": "logs"},
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            # optimizer and schedule belong to the model
            auto_configure_optimizers=False,
            # a run that is resumed writes to the folder of its beginning
            save_config_kwargs={"overwrite": True},
            parser_kwargs={
                "prog": "jepa-lightning",
                "description": "Trains and evaluates joint-embedding predictive architectures and their baselines. "
                "`jepa-lightning methods` prints what each method predicts and needs; `jepa-lightning optimize` writes "
                "images or videos into shards; `jepa-lightning consolidate` makes one file of a sharded checkpoint.",
                "version": _version(),
                **parser_options,
                **{command: dict(parser_options) for command in COMMANDS},
            },
            args=self.arguments,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The commands, with arguments of the Trainer's methods that are no options: ``predict`` writes a file."""
        commands = LightningCLI.subcommands()
        return {**commands, "predict": {*commands["predict"], "return_predictions"}}

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """The parser that checks configurations before it reads them."""
        kwargs.setdefault("dump_header", [f"lightning.pytorch=={lightning.__version__}"])
        parser = ConfigParser(**kwargs)
        parser.add_argument("-c", "--config", action=ActionConfigFile, help="Configuration, a file of YAML or JSON.")
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the arguments, then once more with the model's options from the checkpoint, if there is one."""
        self.config = _parse(parser, self.arguments)
        options = self.config[self.config.subcommand]
        self._find_checkpoint(options)
        if self.checkpoint and Path(self.checkpoint).exists():
            model = model_arguments(Path(self.checkpoint), options.model.class_path)
            try:
                self.config = _parse(parser, [*self.arguments, *model, *_model_options(self.arguments)])
            except UsageError as error:
                raise UsageError(f"the options in the checkpoint {self.checkpoint} do not fit: {error}") from error
        # Lightning would read the file's options too, only from runs of a command line, and put them above all others
        self.config[self.config.subcommand].ckpt_path = None

    def before_instantiate_classes(self) -> None:
        """Puts the checkpoint back."""
        self.config[self.subcommand].ckpt_path = self.checkpoint
        if self.subcommand != "fit":
            self.save_config_callback = None
            # those that save checkpoints have nothing to do here
            warnings.filterwarnings("ignore", message="Be aware that when using `ckpt_path`")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds what the configuration leaves open."""
        given = self.config_init[self.subcommand].trainer
        if self.subcommand == "fit":
            kwargs["callbacks"] = self._callbacks(given)
            if given.logger is None:
                kwargs["logger"] = TensorBoardLogger(
                    given.default_root_dir,
                    name=type(self.model).__name__,
                    version=self.run_folder.name if self.run_folder else None,
                    default_hp_metric=False,
                )
        elif given.logger is None:
            kwargs["logger"] = False
        trainer = super().instantiate_trainer(**kwargs)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # none of the user's
            trainer.strategy.checkpoint_io = CheckpointFiles()
        return trainer

    def after_instantiate_classes(self) -> None:
        """Refuses shards of another kind of FSDP, which end in errors about keys."""
        strategy, path = self.trainer.strategy, Path(self.checkpoint or "")
        reader = next((name for kind, name in FSDP.items() if isinstance(strategy, kind)), None)
        if self.checkpoint and path.is_dir() and reader not in (None, writer := written_by(path)):
            raise UsageError(
                f"{path} was written by {writer}, and {reader} does not read it: make a file of it with "
                f"`jepa-lightning consolidate {path} OUT`, and give --ckpt_path OUT."
            )

    def _callbacks(self, given: Any) -> list[Any]:
        """The callbacks of the configuration, checkpoints where it names none, and the summary."""
        callbacks = given.callbacks or []
        callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
        # a second configuration, such as trainer/slurm.yaml, names it again, with other options
        older = [callback for callback in callbacks if isinstance(callback, LastCheckpoint)][:-1]
        callbacks = [callback for callback in callbacks if callback not in older]
        saving = [callback for callback in callbacks if isinstance(callback, Checkpoint)]
        if all(isinstance(callback, LastCheckpoint) for callback in saving) and given.enable_checkpointing is not False:
            if not saving:
                callbacks.append(LastCheckpoint())
            if any(isinstance(callback, OnlineLinearProbe) for callback in callbacks):
                callbacks.append(
                    ModelCheckpoint(
                        filename="best",
                        monitor="val/linear",
                        mode="max",
                        save_on_train_epoch_end=False,
                        enable_version_counter=False,
                    )
                )
        if not any(isinstance(callback, Summary) for callback in callbacks):
            callbacks.append(Summary())
        return callbacks

    def _find_checkpoint(self, options: Any) -> None:
        """Sets the checkpoint, and the run to go on with.

        Raises:
            FileNotFoundError: if it does not exist.
            ValueError: if it is a folder that is no checkpoint.
        """
        self.checkpoint = given = options.ckpt_path
        if given in ("last", "auto"):
            self._find_last(options, given == "auto" and self.config.subcommand == "fit")
        # Lightning knows some words, and addresses
        elif given and given not in ("best", "hpc") and ":" not in given:
            path = present(Path(given))
            if not path.exists():
                raise FileNotFoundError(f"there is no checkpoint {given}.")
            self.checkpoint = str(path)
        if self.checkpoint and Path(self.checkpoint).is_dir():
            check_shards(Path(self.checkpoint))

    def _find_last(self, options: Any, auto: bool) -> None:
        if _saves_elsewhere(options.trainer):
            self.checkpoint = "last"  # Lightning looks for it, and says what it finds
            if auto:
                warnings.filterwarnings("default", message=NO_LAST)
            return
        runs = Path(options.trainer.default_root_dir) / options.model.class_path.rpartition(".")[2]
        found = last_checkpoint(runs)
        if found is None and not auto:
            raise FileNotFoundError(
                f"there is no last checkpoint, {runs}/*/checkpoints/last.ckpt: give the path of one, or leave "
                "--ckpt_path out to start anew."
            )
        if auto:
            _say(f"--ckpt_path auto: {f'goes on from {found}' if found else f'starts anew, {runs} has no last.ckpt'}.")
        self.checkpoint = str(found) if found else None
        if found:
            self.run_folder = runs / found.relative_to(runs).parts[0]
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line. Errors that a user can put right end in one line; ``JEPA_LIGHTNING_DEBUG=1`` shows all.

    Args:
        args: arguments; None takes those of the process.
    """
    try:
        with exiting_on_signals():
            _main(list(sys.argv[1:] if args is None else args))
    finally:
        if _nobody_reads():
            sys.exit(128 + signal.SIGPIPE)


def _main(arguments: list[str]) -> None:
    try:
        with warnings.catch_warnings():
            # said by Lightning about itself
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            # it would start anew
            warnings.filterwarnings("error", message=NO_LAST)
            _run(arguments)
    except SIGTERMException:
        # Lightning would end like a run that is through
        sys.exit(128 + signal.SIGTERM)
    except KeyboardInterrupt:  # outside of the Trainer, which has its own end for it
        print("jepa-lightning: interrupted.", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except (Exception, CheckpointException) as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return
        text = None if os.environ.get(DEBUG) else explain(error)
        if text is None:
            raise
        # all ranks have the former, and one says so
        say = rank_zero_only(print) if isinstance(error, CheckpointException) else print
        say(f"jepa-lightning: error: {text}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def _run(arguments: list[str]) -> None:
    command = arguments[0] if arguments else ""
    if not command.startswith("-") and command not in (*COMMANDS, *TOOLS):
        raise UsageError(unknown_command(command))
    check_rank_variables()
    check_arguments(arguments)
    if tool := TOOLS.get(command):
        tool(arguments[1:])
    else:
        JEPACLI(arguments)


def _nobody_reads() -> bool:
    """Whether standard output is a pipe that its reader has closed, as `head` does; what is left of it is dropped."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # else the interpreter tries again at its end, and complains
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def _parse(parser: LightningArgumentParser, arguments: Sequence[str]) -> Any:
    try:
        config = parser.parse_args(arguments)
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error))) from error
    check_nulls(config[config.subcommand])
    return config


@rank_zero_only
def _say(text: str) -> None:
    print(f"jepa-lightning: {text}")


def _saves_elsewhere(trainer: Any) -> bool:
    """Whether the configuration says where logs or checkpoints go."""
    callbacks = trainer.callbacks if isinstance(trainer.callbacks, list) else [trainer.callbacks or {}]
    folders = [callback.get("init_args", {}).get("dirpath") for callback in callbacks]
    return trainer.logger is not None or any(folders)


def _model_options(arguments: Sequence[str]) -> list[str]:
    """The arguments that set single options of the model, with their values."""
    chosen: list[str] = []
    for i, argument in enumerate(arguments):
        if argument.startswith("--model."):
            chosen += [argument] if "=" in argument else arguments[i : i + 2]
    return chosen


def _version() -> str:
    try:
        return version("jepa_lightning")
    except PackageNotFoundError:
        return "not installed"
