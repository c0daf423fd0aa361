"""A folder for each run of the command line: who gets which, and what goes there."""

import copy
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

from jepa_lightning.callbacks import LastCheckpoint
from jepa_lightning.checkpoints import present, run_number
from jepa_lightning.cli.trainer import CLITrainer


def new_run(runs: Path) -> Path:
    """Creates ``version_N`` with N above those that exist. Processes that do so at the same time get a folder each.

    Args:
        runs: Where the runs of a model are.

    Raises:
        ValueError: If the folder cannot be created.
    """
    try:
        runs.mkdir(parents=True, exist_ok=True)
        number = 1 + max(map(run_number, runs.iterdir()), default=-1)
        while True:
            folder = runs / f"version_{number}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:  # another process was faster
                number += 1
    except OSError as error:
        raise ValueError(
            f"cannot create a folder for this run in {runs}: {error.strerror}. Give another --trainer.default_root_dir."
        ) from error


def board(folder: Path) -> TensorBoardLogger:
    """The logger of a run that names none.

    Args:
        folder: The run's.
    """
    runs, number = folder.parent, folder.name.removeprefix("version_")
    # the progress bar shows a number as it is, and of a text the last letters
    version = int(number) if number.isdecimal() else folder.name
    return TensorBoardLogger(str(runs.parent), name=runs.name, version=version, default_hp_metric=False)


def claim_logs(logger: Logger) -> Logger:
    """A logger whose folder no other run has, where the logger would only look for a free one.

    Lightning's CSVLogger deletes the ``metrics.csv`` that it finds, and two runs together find the same folder free.

    Args:
        logger: As configured. Loggers other than CSVLogger and TensorBoardLogger keep their files apart.

    Raises:
        ValueError: If a CSVLogger is told to write where metrics are already.
    """
    if not isinstance(logger, (CSVLogger, TensorBoardLogger)) or "://" in str(logger.save_dir):
        return logger
    taken = None
    while True:
        candidate = copy.copy(logger)  # asks the file system again for the next version
        folder = Path(candidate.log_dir)
        try:
            folder.mkdir(parents=True)
            return candidate
        except FileExistsError:
            if folder != taken:
                taken = folder
                continue
        # the configuration gives the version
        if isinstance(logger, CSVLogger) and (folder / "metrics.csv").exists():
            raise ValueError(
                f"{folder}/metrics.csv is of another run, and CSVLogger would delete it: give the logger another "
                "version, or none."
            )
        return candidate


def check_checkpoint_folder(saver: Checkpoint, counts_versions: bool, resumed: Path | None) -> None:
    """Refuses a folder in which a callback would replace the checkpoints of another run.

    Args:
        saver: A callback that saves.
        counts_versions: Whether it chooses another name where there is a file, as ModelCheckpoint does by default.
        resumed: The checkpoint that this run resumes.

    Raises:
        ValueError: If there are such checkpoints.
    """
    dirpath = getattr(saver, "dirpath", None)
    if dirpath is None or (counts_versions and not isinstance(saver, LastCheckpoint)):
        return
    folder = Path(dirpath)
    names = [present(folder / "last.ckpt")] if isinstance(saver, LastCheckpoint) else sorted(folder.glob("*.ckpt"))
    found = [path for path in names if path.exists()]
    if found and (resumed is None or folder.resolve() not in resumed.resolve().parents):
        raise ValueError(
            f"{found[0]} is of another run, and {type(saver).__name__} could replace it: give it another dirpath or "
            f"none, or resume that run with --ckpt_path {found[0]}."
        )


class RunFolder(Callback):
    """Sends checkpoints, and the logs of a run that names no logger, to the run's folder on all ranks.

    Args:
        tensorboard: Log to TensorBoard.
    """

    def __init__(self, tensorboard: bool) -> None:
        self.tensorboard = tensorboard

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tells all ranks which folder rank 0 has taken."""
        chosen = trainer.log_dir  # every rank has to ask
        if not isinstance(trainer, CLITrainer) or trainer.run_folder is None:
            return  # a trial run, or an object store
        folder = Path(str(chosen))
        if self.tensorboard and not trainer.loggers:
            trainer.loggers = [board(folder)]
        for saver in trainer.checkpoint_callbacks:
            if isinstance(saver, ModelCheckpoint) and saver.dirpath is None:
                saver.dirpath = str(folder / "checkpoints")
