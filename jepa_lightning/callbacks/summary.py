"""One screen at the end of a run: what the features are worth, where things are, and what to run next."""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from jepa_lightning.callbacks.collapse import CollapseMonitor
from jepa_lightning.callbacks.probes.base import OnlineProbe
from jepa_lightning.callbacks.probes.report import ProbeReport

# names as logged, and as printed
MEASURES = {
    "rank": "rank (RankMe)",
    "effective_rank": "effective rank",
    "energy_gap": "energy gap",
    "content_share": "content share",
    "alarm": "alarms",
}

# ends of names that are no accuracy
OTHERS = {"r2": "R2", "map": "mAP", "mae": "error"}

Row = dict[str, float]  # accuracy by column


class Summary(Callback):
    """Prints a summary at the end of ``fit``.

    It reads what other callbacks have found: accuracies of ``ProbeReport``, ``OnlineLinearProbe`` and ``OnlineKNN``,
    measures of ``CollapseMonitor``, paths of ``ModelCheckpoint``.

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
        lines = ["", self._head(trainer, pl_module), *_results(trainer, self._validated), *_places(trainer, pl_module)]
        if trainer.is_global_zero:
            print("\n".join(lines))

    def _head(self, trainer: Trainer, pl_module: LightningModule) -> str:
        data = trainer.datamodule  # type: ignore[attr-defined]
        on = f" on {type(data).__name__}" if data is not None else ""
        last, first = trainer.global_step, self._first_step
        if first is None:
            return f"{type(pl_module).__name__}{on}: nothing left to train after step {last}"
        steps = f"steps {first + 1} to {last}" if first else f"{last} steps"
        return f"{type(pl_module).__name__}{on}: {steps} in {(time.monotonic() - self._began) / 60:.1f} min"


def _results(trainer: Trainer, validated: bool) -> list[str]:
    rows = _accuracies(trainer)
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


def _why_none(trainer: Trainer, validated: bool) -> str:
    online = any(isinstance(callback, OnlineProbe) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    if online and not validated:
        return "  no validation has run: the probes have not measured (train longer, or set val_check_interval)"
    if online:
        return "  no probe was ready at a validation: there is no accuracy to report"
    return "  no probe has found labels: there is no accuracy to report"


def _accuracies(trainer: Trainer) -> dict[str, Row]:
    """Rows of the table by label."""
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    rows: dict[str, Row] = {}
    for report in (callback for callback in callbacks if isinstance(callback, ProbeReport)):
        for column, found in report.accuracy.items():
            for label, value in found.items():
                own = f"{report.name} {column}" if report.is_renamed else column
                rows.setdefault(label, {})[own] = value
    for probe in (callback for callback in callbacks if isinstance(callback, OnlineProbe)):
        named = {name: name.removeprefix(f"val/{probe.name}").removeprefix("_") for name in probe.best}
        for name, key in named.items():
            if _is_repeated(key, named.values()) or "/" in key or key.split("_")[-1] == "mae":
                continue
            row = rows.setdefault(key, {})
            row[f"{probe.name} best"] = probe.best[name]
            if name in trainer.callback_metrics:
                row[f"{probe.name} last"] = float(trainer.callback_metrics[name])
    return rows


def _is_repeated(key: str, keys: Iterable[str]) -> bool:
    """Whether a value without a label's name is that of the first of several labels, which has its own row."""
    ends = tuple(f"_{end}" for end in OTHERS)
    if key in OTHERS:
        return any(each.endswith(f"_{key}") for each in keys)
    return not key and any(each and "/" not in each and each not in OTHERS and not each.endswith(ends) for each in keys)


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


def _places(trainer: Trainer, pl_module: LightningModule) -> list[str]:
    """Where logs and checkpoints are, and commands that use them."""
    folder = trainer.log_dir or ""
    configured = any(isinstance(callback, SaveConfigCallback) for callback in trainer.callbacks)  # type: ignore[attr-defined]
    logs = [_short(logger.log_dir) for logger in trainer.loggers if logger.log_dir]
    saved = dict(_checkpoints(trainer))
    lines = [f"  run          {_short(folder)}"] if configured else []
    lines += [f"  logs         {path}" for path in logs if not configured or path != _short(folder)]
    lines += [f"  checkpoint   {path}{note}" for path, note in saved.items()]
    boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    commands = [f"tensorboard --logdir {_short(board.root_dir)}" for board in boards[:1]]
    config = Path(folder, "config.yaml")
    # the commands are for modules of this package
    known = hasattr(pl_module, "predict_layers")
    if saved and known and (configured or (trainer.loggers and config.is_file())):
        chosen = f"--config {_short(config)} --ckpt_path {next(iter(saved))}"
        commands += [f"jepa-lightning {command} {chosen}" for command in ("validate", "predict")]
    elif saved:
        commands.append(f'{type(pl_module).__name__}.load_from_checkpoint("{next(iter(saved))}")')
    return [*lines, *(["  next:"] if commands else []), *(f"    {command}" for command in commands)]


def _checkpoints(trainer: Trainer) -> Iterable[tuple[str, str]]:
    """Paths with a note, the best by a metric first."""
    savers: list[Any] = [saver for saver in trainer.checkpoint_callbacks if isinstance(saver, ModelCheckpoint)]
    for saver in sorted(savers, key=lambda saver: saver.monitor is None):
        if saver.best_model_path:
            score = f" (best {saver.monitor}: {float(saver.best_model_score):.3f})" if saver.monitor else ""
            yield _short(saver.best_model_path), score
        if saver.last_model_path:
            yield _short(saver.last_model_path), ""


def _short(path: str | Path) -> str:
    """The path from here, where it is below here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
