"""Protocols on a subject and a data set: each of them once, whatever has stopped the run in between."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from jepa_lightning.checkpoints import appearing
from jepa_lightning.evaluation.feature_cache import Table, cached_table
from jepa_lightning.evaluation.protocols import POOLED
from jepa_lightning.evaluation.subjects import Subject
from jepa_lightning.evaluation.tasks import Settings, tasks_of

Records = dict[str, dict[str, Any]]  # by label


@dataclass
class Evaluation:
    """One subject on one data set, in a folder that holds what has been computed.

    Args:
        subject: what is evaluated.
        loaders: of training and test samples, in the deterministic view and in order.
        data: a fingerprint of these.
        folder: for features and finished protocols.
        settings: of all protocols.
        labels: to evaluate; none takes all.
    """

    subject: Subject
    loaders: tuple[DataLoader[Any], DataLoader[Any]]
    data: str
    folder: Path
    settings: Settings
    labels: Sequence[str] = ()

    @cached_property
    def fingerprint(self) -> str:
        """Of the subject and the data together."""
        return hashlib.sha256(f"{self.subject.fingerprint()} {self.data}".encode()).hexdigest()

    @cached_property
    def pooled(self) -> tuple[Table, Table]:
        """Pooled features of training and test samples."""
        return self._tables("pooled", lambda batch: self.subject.features(batch.views))

    def records(self, protocol: str) -> Records:
        """What a protocol finds, for each label; taken from the disk where an earlier run has finished it.

        Args:
            protocol: its name.

        Raises:
            ValueError: if the data cannot serve it.
        """
        path = self.folder / "finished" / f"{self._key(protocol)}.json"
        if path.is_file():
            found: Records = json.loads(path.read_text())
            return found
        train, test = self.pooled
        tasks = tasks_of(train, test, self.settings.seed, self.labels)
        found = {task.name: POOLED[protocol](task, train, test, self.settings) for task in tasks}
        path.parent.mkdir(parents=True, exist_ok=True)
        with appearing(path) as place:
            place.write_text(json.dumps(found))
        return found

    def _key(self, protocol: str) -> str:
        settings = [protocol, self.settings.grid, self.settings.seed, *self.labels]
        return hashlib.sha256(json.dumps([self.fingerprint, settings]).encode()).hexdigest()[:32]

    def _tables(self, kind: str, encode: Callable[[Any], Any]) -> tuple[Table, Table]:
        name = self.fingerprint[:32]
        train, test = (
            cached_table(
                self.folder / "features" / name / f"{kind}-{split}", loader, encode, f"{self.subject.name}, {split}"
            )
            for split, loader in zip(("train", "test"), self.loaders, strict=True)
        )
        return train, test


def evaluate(
    evaluations: Iterable[Evaluation], protocols: Sequence[str], say: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """What each protocol finds for the first subject, and for the others as baselines.

    Args:
        evaluations: the subject that is judged, and baselines.
        protocols: their names.
        say: is told how far it is.

    Returns:
        Records by protocol and by label, and those of each baseline by its name under ``baselines``.
    """
    found: list[tuple[str, Mapping[str, Records]]] = []
    for evaluation in evaluations:
        by_protocol = {}
        for protocol in protocols:
            by_protocol[protocol] = evaluation.records(protocol)
            say(f"{evaluation.subject.name}: {protocol} is done.")
        found.append((evaluation.subject.name, by_protocol))
    (_, own), *baselines = found
    return {**own, "baselines": dict(baselines)}
