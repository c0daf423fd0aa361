"""Which values of a run are recorded when, so that curves are exact and the file stays small."""

import math
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor

from jepa_lightning.callbacks.collapse import CollapseMonitor
from jepa_lightning.callbacks.probes.base import OnlineProbe
from jepa_lightning.callbacks.probes.report import ProbeReport
from jepa_lightning.callbacks.results import accuracies, data_class
from jepa_lightning.report.history import LENGTH, append
from jepa_lightning.report.provenance import command_line, versions

SHOWN = 500  # characters of an option
RECORDS = 2000  # after this number the distance between records doubles
RATE, RATES = "lr", ("lr-", "lr/")  # our name, and the beginnings of those that LearningRateMonitor gives
Values = dict[str, float]


class RunHistory:
    """Adds to the record of a run what callbacks and the module have logged.

    Lightning keeps the last value of each name, old ones too. So at a training step those are recorded that have
    changed, and learning rates always, which may rest and then fall. After a validation those are recorded that are in
    the place of others: an accuracy that was measured again may be the same.

    Args:
        path: of the record.
        step: that the run starts or resumes after.
        began: time of its start, ``time.monotonic()``.
    """

    def __init__(self, path: Path, step: int, began: float) -> None:
        self.path, self.began = path, began
        self.failed = False
        self._step = step
        self._last: Values = {}  # as recorded
        self._alarms: set[tuple[int, str, str]] = set()

    def start(self, trainer: Trainer, pl_module: LightningModule, options: dict[str, Any]) -> None:
        """Notes what runs, and on what."""
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        processes = f", {trainer.world_size} processes" if trainer.world_size > 1 else ""
        self.add(
            "start",
            step=self._step,
            method=type(pl_module).__name__,
            data=data_class(trainer),
            command=command_line()[:LENGTH],
            date=time.strftime("%Y-%m-%d %H:%M:%S %z"),
            probes=list(dict.fromkeys(each.name for each in callbacks if isinstance(each, (OnlineProbe, ProbeReport)))),
            monitors=[each.name for each in callbacks if isinstance(each, CollapseMonitor)],
            about={
                "device": f"{trainer.strategy.root_device}{processes}, precision {trainer.precision}",
                **versions(),
                **{name: str(value)[:SHOWN] for name, value in options.items()},
            },
        )

    def is_due(self, trainer: Trainer) -> bool:
        """Whether a training step is recorded: those that the Trainer logs, and fewer in long runs."""
        step, before = trainer.global_step, self._step
        self._step = step
        every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every:
            return False
        while step > RECORDS * every:
            every *= 2
        return step // every > before // every

    def add_step(self, trainer: Trainer, values: Values) -> None:
        """Records a training step."""
        changed = {
            name: value for name, value in values.items() if _is_rate(name) or not _same(self._last.get(name), value)
        }
        self._add_values(trainer, changed)

    def add_validation(self, trainer: Trainer, before: dict[str, Tensor], values: Values) -> None:
        """Records a validation.

        Args:
            trainer: of the run.
            before: ``callback_metrics`` when it began.
            values: when it had ended.
        """
        new = {name for name, value in trainer.callback_metrics.items() if value is not before.get(name)}
        self._add_values(trainer, {name: value for name, value in values.items() if name in new})

    def add_results(self, trainer: Trainer) -> None:
        """Records accuracies, and alarms that are new."""
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        monitors = [each for each in callbacks if isinstance(each, CollapseMonitor)]
        given = {(step, each.name, text) for each in monitors for step, text in each.alarms}
        for step, name, text in sorted(given - self._alarms):
            self.add("alarm", step=step, name=name, text=text)
        self._alarms |= given
        if rows := accuracies(trainer):
            self.add("rows", rows=rows)

    def end(self, reason: str, places: list[tuple[str, str]], commands: list[str]) -> None:
        """Notes the end."""
        seconds = self._seconds()
        self.add("end", step=self._step, seconds=seconds, reason=reason, places=places, next=commands)

    def add(self, kind: str, **fields: Any) -> None:
        """Adds a line; a disk that does not take it never ends a run."""
        if self.failed:
            return
        try:
            append(self.path, kind, **fields)
        except OSError as error:
            self.failed = True
            rank_zero_warn(f"RunReport cannot write {self.path} ({error.strerror}): the report ends here.")

    def _add_values(self, trainer: Trainer, chosen: Values) -> None:
        self._last |= chosen
        if chosen:
            self.add("values", step=trainer.global_step, seconds=self._seconds(), values=chosen)

    def _seconds(self) -> float:
        return round(time.monotonic() - self.began, 3)


def _is_rate(name: str) -> bool:
    return name == RATE or name.startswith(RATES)


def _same(before: float | None, value: float) -> bool:
    return before == value or (before is not None and math.isnan(before) and math.isnan(value))


def logged_values(trainer: Trainer) -> Values:
    """The last value of each name, and the learning rate where no callback logs it. All ranks ask together."""
    values = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
    if trainer.optimizers and not any(_is_rate(name) for name in values):
        values[RATE] = float(trainer.optimizers[0].param_groups[0]["lr"])
    return values
