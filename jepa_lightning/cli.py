"""The command line: ``jepa-lightning``, a LightningCLI that knows this package by name."""

import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger

from jepa_lightning.callbacks import FeatureWriter, LastCheckpoint, OnlineLinearProbe, Summary
from jepa_lightning.checkpoints import last_checkpoint, model_arguments
from jepa_lightning.data import JEPADataModule
from jepa_lightning.errors import UsageError, explain, explain_usage
from jepa_lightning.methods import methods_table
from jepa_lightning.modules import JEPAModule
from jepa_lightning.optimize import optimize

COMMANDS = ("fit", "validate", "test", "predict")
DEBUG = "JEPA_LIGHTNING_DEBUG"


class CLITrainer(Trainer):
    """A Trainer whose ``predict`` writes features to a file."""

    def predict(  # type: ignore[override]  # the command line's options are the arguments
        self,
        model: Any = None,
        dataloaders: Any = None,
        datamodule: Any = None,
        features: str = "features.npz",
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Write the features of every sample, with labels and paths, to a file.

        Args:
            model: The model to predict with.
            dataloaders: Samples to predict.
            datamodule: Samples to predict.
            features: File to write, .npz or .safetensors.
            ckpt_path: Path of the checkpoint to take weights and options from, or "last".
            weights_only: As in ``fit``.
        """
        self.callbacks.append(FeatureWriter(features))  # type: ignore[attr-defined]
        super().predict(
            model, dataloaders, datamodule, return_predictions=False, ckpt_path=ckpt_path, weights_only=weights_only
        )


class JEPACLI(LightningCLI):
    """LightningCLI for any ``JEPAModule`` on any ``JEPADataModule``.

    Beside Lightning's own behaviour: ``fit`` logs to TensorBoard under ``default_root_dir/MODEL``, keeps ``last.ckpt``
    and prints a summary, unless the configuration says otherwise; the options of the model come from a checkpoint where
    one is given, and options of the command line win over it; ``--ckpt_path last`` goes on with the latest run.

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
                "images or videos into shards.",
                "version": _version(),
                **parser_options,
                **{command: dict(parser_options) for command in COMMANDS},
            },
            args=self.arguments,
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the arguments, then once more with the model's options from the checkpoint, if there is one."""
        self.config = _parse(parser, self.arguments)
        options = self.config[self.config.subcommand]
        self._find_checkpoint(options)
        if self.checkpoint and Path(self.checkpoint).is_file():
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
        if self.subcommand == "predict" and given.devices == "auto":
            # the file is written by one process
            kwargs["devices"] = 1
        return super().instantiate_trainer(**kwargs)

    def _callbacks(self, given: Any) -> list[Any]:
        """The callbacks of the configuration, checkpoints where it names none, and the summary."""
        callbacks = given.callbacks or []
        callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
        saves = any(isinstance(callback, Checkpoint) for callback in callbacks)
        if not saves and given.enable_checkpointing is not False:
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
        """
        self.checkpoint = given = options.ckpt_path
        if given == "last" and not _saves_elsewhere(options.trainer):
            runs = Path(options.trainer.default_root_dir) / options.model.class_path.rpartition(".")[2]
            self.checkpoint = str(last_checkpoint(runs))
            self.run_folder = Path(self.checkpoint).parents[1]
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
        # Lightning knows some words, and addresses
        elif given and given not in ("last", "best", "hpc") and ":" not in given and not Path(given).exists():
            raise FileNotFoundError(f"there is no checkpoint {given}.")


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line. Errors that a user can put right end in one line; ``JEPA_LIGHTNING_DEBUG=1`` shows all.

    Args:
        args: arguments; None takes those of the process.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    if arguments == ["methods"]:
        print(methods_table())
        return
    try:
        with warnings.catch_warnings():
            # said by Lightning about itself
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            # it would start anew
            warnings.filterwarnings("error", message=".*there is no last checkpoint available")
            if arguments[:1] == ["optimize"]:
                optimize(arguments[1:])
            else:
                JEPACLI(arguments)
    except Exception as error:
        text = None if os.environ.get(DEBUG) else explain(error)
        if text is None:
            raise
        print(f"jepa-lightning: error: {text}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def _parse(parser: LightningArgumentParser, arguments: Sequence[str]) -> Any:
    try:
        return parser.parse_args(arguments)
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error))) from error


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
