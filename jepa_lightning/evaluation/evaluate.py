"""Protocols on a subject and a data set: each of them once, whatever has stopped the run in between."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

import jepa_lightning
from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.dense import BOX_CLASSES, BOX_CROWDS, BOXES, DEPTH, MASK
from jepa_lightning.evaluation.attentive import TOKENS as TOKENS_COLUMN
from jepa_lightning.evaluation.dense import dense
from jepa_lightning.evaluation.detection import detection
from jepa_lightning.evaluation.feature_cache import Table, cached_table, number_cached
from jepa_lightning.evaluation.finetune import FineTuning
from jepa_lightning.evaluation.kept_records import Records, keep_records, kept_records
from jepa_lightning.evaluation.propagation import propagation
from jepa_lightning.evaluation.protocols import DENSE, DETECTION, FINETUNE, POOLED, PROPAGATION, TOKENS, WANTED
from jepa_lightning.evaluation.subjects import Subject
from jepa_lightning.evaluation.tasks import Settings, tasks_of
from jepa_lightning.evaluation.tuned_detection import DetectionOptions, TunedDetection
from jepa_lightning.types import Batch

SPLITS = ("train", "test")


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
        data_module: builds the data for fine-tuning.
        finetune: options of ``FineTuning``.
        mask_names: of the classes of masks, where the data know them.
        box_names: of the classes of boxes, where the data know them.
        detection: options of that protocol.
    """

    subject: Subject
    loaders: tuple[DataLoader[Any], DataLoader[Any]]
    data: str
    folder: Path
    settings: Settings
    labels: Sequence[str] = ()
    data_module: Callable[[], JEPADataModule] | None = None
    finetune: Mapping[str, Any] = field(default_factory=dict)
    mask_names: Sequence[str] | None = None
    box_names: Sequence[str] | None = None
    detection: DetectionOptions = field(default_factory=DetectionOptions)

    @cached_property
    def fingerprint(self) -> str:
        """Of the subject, the data, and the version of this package."""
        parts = (self.subject.fingerprint(), self.data, jepa_lightning.__version__)
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    @cached_property
    def pooled(self) -> tuple[Table, Table]:
        """Pooled features of training and test samples."""
        return self._tables("pooled", lambda batch: self.subject.features(batch.views))

    @cached_property
    def tokens(self) -> tuple[Table, Table]:
        """Tokens of training and test samples, and labels of their pixels."""
        self._check_room()
        return self._tables(
            "tokens", lambda batch: {TOKENS_COLUMN: self.subject.tokens(batch.views), **pixel_labels(batch)}
        )

    def records(self, protocol: str) -> Records:
        """What a protocol finds, for each label; taken from the disk where an earlier run has finished it.

        Args:
            protocol: its name.

        Raises:
            ValueError: if the data cannot serve it, or the file on the disk is damaged.
        """
        path = self.folder / "finished" / f"{self._key(protocol)}.json"
        if path.is_file():
            return kept_records(path)
        if protocol == FINETUNE:
            found: Records = self._fine_tuned(path)
        elif protocol == PROPAGATION:
            found = propagation(self.subject, *self.loaders, self.settings)
        else:
            found = self._dense(protocol, path) if protocol in DENSE else self._fitted(protocol)
        keep_records(path, found)
        return found

    def serves(self, protocol: str) -> bool:
        """Whether the subject can take part: pixels have no tokens and nothing to train."""
        on_pixels = protocol in (*POOLED, *DENSE, PROPAGATION) and not self._trains(protocol)
        return self.subject.module is not None or on_pixels

    def _trains(self, protocol: str) -> bool:
        """Whether the encoder itself is trained."""
        return protocol == FINETUNE or (protocol == DETECTION and not self.detection.freeze)

    def _fitted(self, protocol: str) -> Records:
        train, test = self.pooled if protocol in POOLED else self.tokens
        run = {**POOLED, **TOKENS}[protocol]
        tasks = tasks_of(train, test, self.settings.seed, self.labels)
        found = {task.name: run(task, train, test, self.settings) for task in tasks}
        records = {name: record for name, record in found.items() if record is not None}
        if not records:
            raise ValueError(WANTED[protocol])
        return records

    def _dense(self, protocol: str, path: Path) -> Records:
        batch = next(iter(self.loaders[1]))
        if DENSE[protocol] not in batch.extras:
            lacking = "boxes with classes" if protocol == DETECTION else DENSE[protocol]
            raise ValueError(
                f"the data have no {lacking} for each image, which {protocol} needs: give data with labels of pixels, "
                "such as ShapesDataModule with --data.dense true, or leave the protocol out."
            )
        if self._trains(protocol):
            assert self.data_module is not None
            return TunedDetection(
                self.subject, self.data_module, self.loaders, path.with_suffix(""), self.settings, self.detection,
                self.box_names,
            ).records()  # fmt: skip
        view = batch.views[0][:1]
        grid = self.subject.grid(view, self.subject.tokens([view]).shape[1])
        if protocol == DETECTION:
            return detection(*self.tokens, grid, view.shape[-2:], self.settings, self.box_names)
        return dense(protocol, *self.tokens, grid, self.settings, self.mask_names)

    def _fine_tuned(self, path: Path) -> Records:
        assert self.subject.module is not None
        assert self.data_module is not None
        module = self.subject.module
        if next(iter(self.loaders[1])).views[0].ndim == 5 and not hasattr(module, "sampler"):
            raise ValueError(
                f"finetune trains the encoder of {type(module).__name__}, which takes single frames, and the data are "
                "clips: leave finetune out."
            )
        tasks = tasks_of(*self.pooled, self.settings.seed, self.labels)
        run = FineTuning(self.subject.module, self.data_module, self.loaders[1], path.with_suffix(""), self.finetune)
        return run.records(tasks, self.settings)

    def _key(self, protocol: str) -> str:
        settings = [protocol, self.settings.grid, self.settings.seed, *self.labels]
        settings += [dict(self.finetune)] if protocol == FINETUNE else []
        settings += [asdict(self.detection)] if protocol == DETECTION else []
        settings += [self.loaders[0].batch_size] if self._trains(protocol) else []  # training has that of the data
        return hashlib.sha256(json.dumps([self.fingerprint, settings]).encode()).hexdigest()[:32]

    def _check_room(self) -> None:
        """Refuses tokens that the disk does not take beside those that are there.

        Raises:
            ValueError: if it does not.
        """
        batch = next(iter(self.loaders[1]))
        one = self.subject.tokens([view[:1] for view in batch.views])
        samples = sum(len(loader.dataset) for loader in self.loaders)  # type: ignore[arg-type, misc]
        needed = one.nbytes * (samples - sum(number_cached(self._features("tokens", split)) for split in SPLITS))
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise ValueError(
                f"tokens of all samples take {needed / 1e9:.1f} GB more, and {self.folder} has {free / 1e9:.1f} GB: "
                "give an --output on a larger disk, or fewer samples."
            )

    def _tables(self, kind: str, encode: Callable[[Any], Any]) -> tuple[Table, Table]:
        train, test = (
            cached_table(self._features(kind, split), loader, encode, f"{self.subject.name}, {split}")
            for split, loader in zip(SPLITS, self.loaders, strict=True)
        )
        return train, test

    def _features(self, kind: str, split: str) -> Path:
        return self.folder / "features" / self.fingerprint[:32] / f"{kind}-{split}"


def pixel_labels(batch: Batch) -> dict[str, Tensor]:
    """Labels of pixels of a batch as they are kept: classes of pixels in a byte."""
    kept = {
        MASK: torch.uint8, DEPTH: torch.float32, BOXES: torch.float32, BOX_CLASSES: torch.int64, BOX_CROWDS: torch.bool,
    }  # fmt: skip
    return {name: batch.extras[name].to(kind) for name, kind in kept.items() if name in batch.extras}


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
        for protocol in filter(evaluation.serves, protocols):
            by_protocol[protocol] = evaluation.records(protocol)
            say(f"{evaluation.subject.name}: {protocol} is done.")
        found.append((evaluation.subject.name, by_protocol))
    (_, own), *baselines = found
    return {**own, "baselines": dict(baselines)}
