"""A LightningCLI that knows this package by name."""

import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning
from jsonargparse import ActionConfigFile, ArgumentError  # type: ignore[attr-defined]  # it is in `__all__`
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

import jepa_lightning
from jepa_lightning.checkpoints import CheckpointFiles, import_classes, model_arguments, written_by
from jepa_lightning.cli.commands import TRAINER_COMMANDS
from jepa_lightning.cli.config_files import ConfigParser
from jepa_lightning.cli.default_callbacks import as_list, with_defaults
from jepa_lightning.cli.errors import UsageError, explain, explain_usage
from jepa_lightning.cli.exit_on_sigterm import ExitOnSIGTERM
from jepa_lightning.cli.null_options import check_nulls
from jepa_lightning.cli.other_model import leave_out_unused
from jepa_lightning.cli.resume import chosen_checkpoint, runs_folder
from jepa_lightning.cli.run_folder import RunFolder, board, check_checkpoint_folder, claim_logs, new_run
from jepa_lightning.cli.run_lock import locked
from jepa_lightning.cli.say import say
from jepa_lightning.cli.trainer import CLITrainer
from jepa_lightning.cli.trainer_options import check_trainer
from jepa_lightning.data import JEPADataModule
from jepa_lightning.modules import JEPAModule
from jepa_lightning.options import Seed, check_values

DESCRIPTION = "Trains and evaluates joint-embedding predictive architectures and their baselines."
# options of a model that it takes from its data, or from weights that it starts from, and its checkpoints hold
TAKEN = ("mean", "std", "norm_eps")
# readers of folders of shards
FSDP = {ModelParallelStrategy: "FSDP2", FSDPStrategy: "FSDP1"}


class JEPACLI(LightningCLI):
    """LightningCLI for any ``JEPAModule`` on any ``JEPADataModule``.

    Beside Lightning's own behavior: each ``fit`` has a folder of its own, ``default_root_dir/MODEL/version_N``, for its
    configuration and checkpoints, whatever the logger. Unless the configuration says otherwise it logs to TensorBoard
    there, keeps ``last.ckpt`` and prints a summary. Where a checkpoint is given, the options of the model are the
    checkpoint's, except for those that configuration files or the command line give. ``--ckpt_path last`` resumes the
    newest run in its own folder, and ``auto`` does so if there is one.

    Args:
        args: arguments of the command line; None takes those of the process.
    """

    def __init__(self, args: Sequence[str] | None = None) -> None:
        self.arguments = list(sys.argv[1:] if args is None else args)
        self.checkpoint: str | None = None
        self.run_folder: Path | None = None  # of the run that is resumed
        self.changes = ""  # of options, against the checkpoint
        parser_options: dict[str, Any] = {"exit_on_error": False}
        try:
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
                parser_kwargs={
                    "prog": "jepa-lightning",
                    "description": DESCRIPTION,
                    "version": jepa_lightning.__version__,
                    **parser_options,
                    **{command: dict(parser_options) for command in TRAINER_COMMANDS},
                },
                args=self.arguments,
            )
        except RuntimeError as error:
            if self.changes and str(error).startswith("Error(s) in loading state_dict"):
                raise UsageError(f"{explain(error)} Options {self.changes}.") from error
            raise

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
        """Parses the arguments. The model's options come from the checkpoint, if there is one, where none are given."""
        self.config = _parse(parser, self.arguments)
        options = self.config[self.config.subcommand]
        check_values("command line", {"seed_everything": Seed | bool | None}, options.as_dict())
        check_trainer(options.trainer.as_dict())
        self.checkpoint, self.run_folder = chosen_checkpoint(options, self.config.subcommand)
        if self.checkpoint and Path(self.checkpoint).exists():
            import_classes(options.model.as_dict())  # those that the checkpoint may name
            model = model_arguments(Path(self.checkpoint), options.model.class_path)
            try:
                saved = _parse(parser, [*self.arguments, *model])
            except UsageError as error:
                raise UsageError(f"the options in the checkpoint {self.checkpoint} do not fit: {error}") from error
            given = _parse(parser, self.arguments, defaults=False)[saved.subcommand].model.as_dict()
            for option in TAKEN:  # null, as in the configuration of a run, leaves them to what it had
                if (given.get("init_args") or {}).get(option, ...) is None:
                    del given["init_args"][option]
            self.config = parser.parse_object({saved.subcommand: {"model": given}}, saved)
            self._name_changes(saved)
        if left := leave_out_unused(self.config[self.config.subcommand].model, self.arguments):
            name = options.model.class_path.rpartition(".")[2]
            say(f"of the configuration, {name} would ignore these options, which are left out: {', '.join(left)}.")
        # Lightning would read the file's options too, only from runs of a command line, and put them above all others
        self.config[self.config.subcommand].ckpt_path = None

    def before_instantiate_classes(self) -> None:
        """Puts the checkpoint back."""
        self.config[self.subcommand].ckpt_path = self.checkpoint
        self.save_config_kwargs = {"overwrite": self.run_folder is not None}
        if self.subcommand != "fit":
            self.save_config_callback = None
            if self.checkpoint is None:
                name = self.config[self.subcommand].model.class_path.rpartition(".")[2]
                say(f"no --ckpt_path: {name} has untrained weights, unless it loads others by itself.")
            # those that save checkpoints have nothing to do here, nor to restore
            for message in ("Be aware that when using `ckpt_path`", "The dirpath has changed from"):
                warnings.filterwarnings("ignore", message=message)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Adds what the configuration leaves open."""
        given = self.config_init[self.subcommand].trainer
        callbacks: list[Callback] = as_list(given.callbacks)
        if self.subcommand == "fit":
            saves, logs = given.enable_checkpointing is not False, given.logger not in (False, [])
            callbacks = [RunFolder(_default(given.logger)), *with_defaults(given.callbacks, saves, logs)]
        kwargs["callbacks"] = [ExitOnSIGTERM(), *callbacks]
        if _default(given.logger):
            kwargs["logger"] = self._early_logger(given)
        trainer = super().instantiate_trainer(**kwargs)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # none of the user's
            trainer.strategy.checkpoint_io = CheckpointFiles()
        return trainer

    def fit(self, **options: Any) -> None:
        """Trains, in a folder that no other run writes to.

        Args:
            options: Of ``Trainer.fit``.
        """
        with ExitStack() as held:
            if self.trainer.global_rank == 0 and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
                self._open_run(held)
            self.trainer.fit(**options)

    def after_instantiate_classes(self) -> None:
        """Refuses shards of another kind of FSDP, which end in errors about keys, and what would lose checkpoints."""
        if self.subcommand == "fit" and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._check_folders()
        strategy, path = self.trainer.strategy, Path(self.checkpoint or "")
        reader = next((name for kind, name in FSDP.items() if isinstance(strategy, kind)), None)
        if self.checkpoint and path.is_dir() and reader not in (None, writer := written_by(path)):
            raise UsageError(
                f"{path} was written by {writer}, and {reader} does not read it: make a file of it with "
                f"`jepa-lightning consolidate {path} OUT`, and give --ckpt_path OUT."
            )

    def _early_logger(self, given: Any) -> Any:
        """The logger of a configuration that names none, or False if it comes when the run has its folder."""
        # a trial run gets a dummy in its place
        early = _is_address(given.default_root_dir) or given.fast_dev_run
        if self.subcommand != "fit" or not early:
            return False
        return TensorBoardLogger(given.default_root_dir, type(self.model).__name__, default_hp_metric=False)

    def _open_run(self, held: ExitStack) -> None:
        """Takes the run's folder, or the one that it resumes, and every other folder that it saves to."""
        options = self.config[self.subcommand]
        trainer: Any = self.trainer
        own = [getattr(saver, "dirpath", None) for saver in trainer.checkpoint_callbacks]
        places = {Path(place).resolve() for place in (*own, self.run_folder) if place and not _is_address(place)}
        for place in sorted(places):
            held.enter_context(locked(place))
        trainer.loggers = [claim_logs(logger) for logger in trainer.loggers]
        if _is_address(options.trainer.default_root_dir):
            return
        if self.run_folder is None:
            self.run_folder = new_run(runs_folder(options))
            held.enter_context(locked(self.run_folder))
        trainer.run_folder = str(self.run_folder)
        if _default(self.config_init[self.subcommand].trainer.logger):
            trainer.loggers = [board(self.run_folder)]
        print(f"jepa-lightning: this run is in {self.run_folder}.")

    def _check_folders(self) -> None:
        """Refuses to train where checkpoints of another run would be replaced."""
        given, built = (
            as_list(config[self.subcommand].trainer.callbacks) for config in (self.config, self.config_init)
        )
        for options, callback in zip(given, built, strict=True):
            if isinstance(callback, Checkpoint):
                counts = (options.get("init_args") or {}).get("enable_version_counter", False)
                check_checkpoint_folder(callback, counts, Path(self.checkpoint) if self.checkpoint else None)

    def _name_changes(self, saved: Any) -> None:
        """Says which options the configuration or the command line changes, and keeps it for an error."""
        before, now = (config[config.subcommand].model.init_args.as_dict() for config in (saved, self.config))
        changed = [
            f"{name}={value} (the checkpoint has {before.get(name)})"
            for name, value in now.items()
            if value != before.get(name)
        ]
        if changed:
            self.changes = f"given for this run: {', '.join(changed)}"
            say(f"{self.changes}; leave an option out to keep the checkpoint's.")


def _parse(parser: LightningArgumentParser, arguments: Sequence[str], defaults: bool = True) -> Any:
    try:
        config = parser.parse_args(arguments, defaults=defaults)
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error))) from error
    check_nulls(config[config.subcommand])
    return config


def _default(logger: Any) -> bool:
    """Whether a configuration leaves the logger open."""
    return logger is None or logger is True


def _is_address(root: Any) -> bool:
    """Whether runs go to an object store, which has no folders to take: there Lightning chooses a version."""
    return "://" in str(root)
