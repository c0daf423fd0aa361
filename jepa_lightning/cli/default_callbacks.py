"""What the command line adds to the callbacks of a configuration."""

from typing import Any

from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Checkpoint, LearningRateMonitor, ThroughputMonitor

from jepa_lightning.callbacks import (
    BestCheckpoint,
    HyperparameterMetrics,
    LastCheckpoint,
    OnlineLinearProbe,
    RunReport,
    Summary,
    Throughput,
)


def with_defaults(given: Any, saves: bool, logs: bool) -> list[Callback]:
    """The callbacks of a configuration, with checkpoints where it names none, charts, the report and the summary.

    Args:
        given: A callback, a list of them, or None.
        saves: Whether the run may save checkpoints.
        logs: Whether the run has a logger.
    """
    callbacks = as_list(given)
    # a second configuration, such as trainer/slurm.yaml, names it again, with other options
    older = [callback for callback in callbacks if isinstance(callback, LastCheckpoint)][:-1]
    callbacks = [callback for callback in callbacks if callback not in older]
    if saves:
        callbacks += _checkpoints(callbacks)
    if logs and not _has(callbacks, LearningRateMonitor):
        callbacks.append(LearningRateMonitor(log_weight_decay=True))
    if logs and not _has(callbacks, (Throughput, ThroughputMonitor)):
        callbacks.append(Throughput())
    if logs and not _has(callbacks, HyperparameterMetrics):
        callbacks.append(HyperparameterMetrics())
    if not _has(callbacks, RunReport):
        callbacks.append(RunReport())
    if not _has(callbacks, Summary):
        callbacks.append(Summary())
    return callbacks


def as_list(given: Any) -> list[Any]:
    """What a configuration has at a place that takes one, a list or null."""
    return list(given) if isinstance(given, list) else [] if given is None else [given]


def _checkpoints(callbacks: list[Any]) -> list[Callback]:
    """The last and the best checkpoint, unless others are saved."""
    saving = [callback for callback in callbacks if isinstance(callback, Checkpoint)]
    if not all(isinstance(callback, LastCheckpoint) for callback in saving):
        return []
    added: list[Callback] = [] if saving else [LastCheckpoint()]
    if _has(callbacks, OnlineLinearProbe):
        added.append(BestCheckpoint())
    return added


def _has(callbacks: list[Any], kind: Any) -> bool:
    return any(isinstance(callback, kind) for callback in callbacks)
