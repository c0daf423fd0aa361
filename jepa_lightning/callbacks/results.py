"""What a run has found and left: accuracies of its probes, places on the disk, and commands that use them."""

import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger

from jepa_lightning.callbacks.probes.base import OnlineProbe
from jepa_lightning.callbacks.probes.report import ProbeReport

# ends of names that are no accuracy
OTHERS = {"r2": "R2", "map": "mAP", "mae": "error"}

Row = dict[str, float]  # accuracy by column


def accuracies(trainer: Trainer) -> dict[str, Row]:
    """Accuracies by label and then by column, of ``ProbeReport`` and of the online probes, best and last."""
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
            if is_repeated(key, named.values()) or "/" in key or key.split("_")[-1] == "mae":
                continue
            row = rows.setdefault(key, {})
            row[f"{probe.name} best"] = probe.best[name]
            if name in trainer.callback_metrics:
                row[f"{probe.name} last"] = float(trainer.callback_metrics[name])
    return rows


def is_repeated(key: str, keys: Iterable[str]) -> bool:
    """Whether a value without a label's name is that of the first of several labels, which has its own row."""
    ends = tuple(f"_{end}" for end in OTHERS)
    if key in OTHERS:
        return any(each.endswith(f"_{key}") for each in keys)
    return not key and any(each and "/" not in each and each not in OTHERS and not each.endswith(ends) for each in keys)


def places(trainer: Trainer) -> list[tuple[str, str]]:
    """Pairs of ``run``, ``logs`` or ``checkpoint`` and a path, with the score of the best checkpoint behind it."""
    folder = trainer.log_dir or ""
    found = [("run", short(folder))] if folder and _is_configured(trainer) else []
    logs = [("logs", short(logger.log_dir)) for logger in trainer.loggers if logger.log_dir]
    found += [place for place in logs if not found or place[1] != found[0][1]]
    return found + [("checkpoint", f"{path}{note}") for path, note in dict(_checkpoints(trainer)).items()]


def next_commands(trainer: Trainer, pl_module: LightningModule) -> list[str]:
    """Commands that use what the run has left."""
    folder, saved = trainer.log_dir or "", dict(_checkpoints(trainer))
    boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
    commands = [f"tensorboard --logdir {shlex.quote(short(board.root_dir))}" for board in boards[:1]]
    config = Path(folder, "config.yaml")
    # the commands are for modules of this package
    known = hasattr(pl_module, "predict_layers")
    best = next(iter(saved), "")
    if best and known and folder and (_is_configured(trainer) or (trainer.loggers and config.is_file())):
        chosen = f"--config {shlex.quote(short(config))} --ckpt_path {shlex.quote(best)}"
        commands += [f"jepa-lightning {command} {chosen}" for command in ("validate", "predict")]
    elif best:
        # a string of JSON is one of Python
        commands.append(f"{type(pl_module).__name__}.load_from_checkpoint({json.dumps(best, ensure_ascii=False)})")
    return commands


def data_class(trainer: Trainer) -> str:
    """The class of the DataModule; ``""`` where loaders are given."""
    data = trainer.datamodule  # type: ignore[attr-defined]
    return "" if data is None else type(data).__name__


def _is_configured(trainer: Trainer) -> bool:
    return any(isinstance(callback, SaveConfigCallback) for callback in trainer.callbacks)  # type: ignore[attr-defined]


def _checkpoints(trainer: Trainer) -> Iterable[tuple[str, str]]:
    """Paths with a note, the best by a metric first."""
    savers: list[Any] = [saver for saver in trainer.checkpoint_callbacks if isinstance(saver, ModelCheckpoint)]
    for saver in sorted(savers, key=lambda saver: saver.monitor is None):
        if saver.best_model_path:
            # a run that was resumed in another folder knows the best checkpoint and not its score
            known = saver.monitor and saver.best_model_score is not None
            score = f" (best {saver.monitor}: {float(saver.best_model_score):.3f})" if known else ""
            yield short(saver.best_model_path), score
        if saver.last_model_path:
            yield short(saver.last_model_path), ""


def short(path: str | Path) -> str:
    """The path from the working folder, where it is below that; an address as it is."""
    if "://" in str(path):
        return str(path)
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
