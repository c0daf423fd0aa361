"""One page about a run, for any browser: what it has learned, curves, pictures, and how it was made."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from jepa_lightning.callbacks.results import next_commands, places
from jepa_lightning.callbacks.run_history import RunHistory, logged_values
from jepa_lightning.report import new_names, write_report


class RunReport(Callback):
    """Writes ``report.html`` into the run's folder, ``trainer.log_dir``, when ``fit`` ends in any way.

    It is one file without scripts and without anything from elsewhere, so it opens from a disk, in a mail and on a
    telephone: accuracies and what training has added to them, curves of all metrics, alarms, the pictures in
    ``pictures/``, the configuration, versions, and the command. The numbers come from ``history.jsonl`` beside it, to
    which the run adds as it proceeds, with any logger or without one. So a run that was killed has a report too:
    ``jepa-lightning inspect-run DIR`` writes it, and writes it anew for a run that is under way.

    A resumed run adds to the record in its folder. A new run in a folder that has a record, as with loggers that give
    runs no folder of their own, writes ``history-v1.jsonl`` and ``report-v1.html``, and so on, without pictures, which
    may be of another run there. Nothing is written in a ``fast_dev_run``, or where the Trainer has no folder on a disk.
    It changes nothing in training.

    Attributes:
        path: of the report, on rank 0 and once training has begun.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import CollapseMonitor, OnlineKNN, RunReport
        >>> trainer = Trainer(callbacks=[OnlineKNN(), CollapseMonitor(), RunReport()])
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._history: RunHistory | None = None
        self._began = 0.0
        self._before: dict[str, Tensor] = {}  # a validation

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes the time."""
        self._began, self.path, self._history = time.monotonic(), None, None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins the record, or continues it."""
        _move_behind_others(self, trainer)
        place = trainer.log_dir  # every rank has to ask
        trial = trainer.fast_dev_run  # type: ignore[attr-defined]
        if not trainer.is_global_zero or trial or place is None or "://" in place:
            return
        step, folder = trainer.global_step, Path(place)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            history, report = new_names(folder, resumes=step > 0)
        except OSError as error:
            rank_zero_warn(f"RunReport cannot write to {place} ({error.strerror}): this run has no report.")
            return
        self._history = RunHistory(folder / history, step, self._began)
        self.path = folder / report
        self._history.start(trainer, pl_module, _options(trainer, pl_module, folder))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Records what is logged, at the steps at which loggers do."""
        if self._history is not None and self._history.is_due(trainer):
            self._history.add_step(trainer, logged_values(trainer))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes what is known before."""
        self._before = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Records what the validation has found."""
        values = logged_values(trainer)
        if self._history is not None and not trainer.sanity_checking:
            self._history.add_validation(trainer, self._before, values)
            self._history.add_results(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Records the last step."""
        values = logged_values(trainer)
        if self._history is not None:
            self._history.add_step(trainer, values)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the report."""
        found, commands = places(trainer), next_commands(trainer, pl_module)  # on every rank: both ask for the folder
        if self._history is not None:
            self._history.add_results(trainer)
            self._close("", found, commands)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Writes the report of a run that was interrupted or has failed."""
        if self._history is not None:
            said = " ".join(str(exception).split())
            self._close(f"{type(exception).__name__}: {said}"[:500] if said else type(exception).__name__, [], [])

    def _close(self, reason: str, found: list[tuple[str, str]], commands: list[str]) -> None:
        history, self._history = self._history, None
        assert history is not None
        assert self.path is not None
        history.end(reason, found, commands)
        try:
            for fault in write_report(self.path.parent, history.path.name, self.path.name):
                rank_zero_warn(f"{self.path} is written without {fault}.")
        except Exception as error:  # a run that has come to its end does not fail for a page about it
            rank_zero_warn(f"RunReport cannot write {self.path}: {error or type(error).__name__}")


def _move_behind_others(callback: Callback, trainer: Trainer) -> None:
    """Lets others log a step before it is recorded: a module's own callbacks come after those of the Trainer.

    Those that save checkpoints stay at the end, where Lightning puts them.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    savers = [each for each in callbacks if isinstance(each, Checkpoint)]
    others = [each for each in callbacks if each is not callback and each not in savers]
    trainer.callbacks = [*others, callback, *savers]  # type: ignore[attr-defined]


def _options(trainer: Trainer, pl_module: LightningModule, folder: Path) -> dict[str, Any]:
    """Hyperparameters, where the folder has no configuration that names them."""
    if (folder / "config.yaml").is_file():
        return {}
    data = trainer.datamodule  # type: ignore[attr-defined]
    both = {**(data.hparams_initial if data is not None else {}), **pl_module.hparams_initial}
    return {str(name): value for name, value in both.items() if not str(name).startswith("_")}
