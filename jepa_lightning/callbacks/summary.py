"""One screen at the end of a run: what the features are worth, where things are, and what to run next."""

import time

from lightning.pytorch import Callback, LightningModule, Trainer

from jepa_lightning.callbacks.collapse import CollapseMonitor
from jepa_lightning.callbacks.probes.base import OnlineProbe
from jepa_lightning.callbacks.results import OTHERS, Row, accuracies, data_class, next_commands, places, short
from jepa_lightning.callbacks.run_report import RunReport

# names as logged, and as printed
MEASURES = {
    "rank": "rank (RankMe)",
    "effective_rank": "effective rank",
    "energy_gap": "energy gap",
    "content_share": "content share",
    "alarm": "alarms",
}


class Summary(Callback):
    """Prints a summary at the end of ``fit``.

    It reads what other callbacks have found: accuracies of ``ProbeReport``, ``OnlineLinearProbe`` and ``OnlineKNN``,
    measures of ``CollapseMonitor``, paths of ``ModelCheckpoint`` and ``RunReport``.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import OnlineKNN, Summary
        >>> trainer = Trainer(callbacks=[OnlineKNN(), Summary()])
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._first_step: int | None = None
        self._validated = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes the time."""
        self._began, self._first_step, self._validated = time.monotonic(), None, False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes where the run starts or resumes; one that has been trained to its end does not come here."""
        self._first_step = trainer.global_step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes that probes have had a chance to measure."""
        self._validated = self._validated or not trainer.sanity_checking

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prints."""
        # on every rank: the Trainer finds its folder with all of them
        lines = ["", self._head(trainer, pl_module), *_results(trainer, self._validated)]
        lines += [f"  {name:<12} {path}" for name, path in [*places(trainer), *_reports(trainer)]]
        commands = next_commands(trainer, pl_module)
        lines += [*(["  next:"] if commands else []), *(f"    {command}" for command in commands)]
        if trainer.is_global_zero:
            print("\n".join(lines))

    def _head(self, trainer: Trainer, pl_module: LightningModule) -> str:
        data = data_class(trainer)
        on = f" on {data}" if data else ""
        last, first = trainer.global_step, self._first_step
        if first is None:
            return f"{type(pl_module).__name__}{on}: nothing left to train after step {last}"
        steps = f"steps {first + 1} to {last}" if first else f"{last} steps"
        return f"{type(pl_module).__name__}{on}: {steps} in {(time.monotonic() - self._began) / 60:.1f} min"


def _results(trainer: Trainer, validated: bool) -> list[str]:
    rows = accuracies(trainer)
    lines = _table(rows) if rows else [_why_none(trainer, validated)]
    logged = trainer.callback_metrics
    monitors = [each for each in trainer.callbacks if isinstance(each, CollapseMonitor)]  # type: ignore[attr-defined]
    # a module may log measures of its own under the usual name
    for monitor in dict.fromkeys([CollapseMonitor.name, *(each.name for each in monitors)]):
        named = {f"{monitor}/{name}": text for name, text in MEASURES.items()}
        measures = [f"{text} {float(logged[name]):.3g}" for name, text in named.items() if name in logged]
        if measures:
            lines.append(f"  {'' if monitor == CollapseMonitor.name else f'{monitor}: '}{', '.join(measures)}")
    return lines


def _reports(trainer: Trainer) -> list[tuple[str, str]]:
    reports = [each for each in trainer.callbacks if isinstance(each, RunReport)]  # type: ignore[attr-defined]
    return [("report", short(each.path)) for each in reports if each.path is not None]


def _why_none(trainer: Trainer, validated: bool) -> str:
    online = any(isinstance(callback, OnlineProbe) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    if online and not validated:
        return "  no validation has run: the probes have not measured (train longer, or set val_check_interval)"
    if online:
        return "  no probe was ready at a validation: there is no accuracy to report"
    return "  no probe has found labels: there is no accuracy to report"


def _table(rows: dict[str, Row]) -> list[str]:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    others = [text for end, text in OTHERS.items() if any(label.split("_")[-1] == end for label in rows)]
    head = f"{', '.join(['accuracy', *others])}, %"
    width = max(len(head), *(len(label) for label in rows))
    lines = ["  ".join(["", head.ljust(width), *columns])]
    for label, row in rows.items():
        cells = [(f"{100 * row[column]:.1f}" if column in row else "-").rjust(len(column)) for column in columns]
        lines.append("  ".join(["", (label or "class").ljust(width), *cells]))
    return lines
