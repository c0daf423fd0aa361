# B batch, C classes, K columns of a label
"""The labels of a probe's batches: which ones, of what kind, and none that does not fit."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from torch import Tensor, distributed

from jepa_lightning.probing.label_kinds import ClassLabel, LabelKind, TagLabel, ValueLabel, form_of, in_form
from jepa_lightning.types import Labels

Numbers = int | dict[str, int] | None


class ProbeLabels:
    """Reads the labels of batches by name; a single label has the name ``""``.

    The first labeled batch tells of what kind each label is. Labels on a CPU are checked batch by batch. On other
    devices the first batch is, and ``check`` looks at all later ones together, since each look waits for the device.

    Args:
        owner: whose labels they are, for messages.
        data: where they come from, for messages.
        chosen: number of classes that a person gave, or of each label by name, which chooses the labels.
        known: the same as the data says; its names choose among class indices alone.
        strict: refuse class indices whose number is not known.

    Attributes:
        kinds: kind of each label, empty before the first labeled batch.

    Raises:
        MisconfigurationException: in ``read``, ``check`` and ``require_number``, if labels do not fit.
    """

    def __init__(self, owner: str, data: str, chosen: Numbers = None, known: Numbers = None, strict: bool = True):
        self.kinds: dict[str, LabelKind] = {}
        self._owner, self._data, self._strict = owner, data, strict
        self._chosen, self._known = chosen, known
        self._offenders: dict[str, Tensor] = {}
        self._agreed = False

    def read(self, labels: Labels | None) -> dict[str, Tensor]:
        """Labels of one batch, as their kinds take them; empty where it has none."""
        if labels is None:
            if self._known == 0:
                self.require_number()
            return {}
        given = labels if isinstance(labels, dict) else {"": labels}
        names = self.kinds or self._names(given)
        if not set(names) <= given.keys():
            raise MisconfigurationException(
                f"{self._owner} expects {listed(names)}, and the batches have {listed(given)}: name the labels in "
                "num_classes as the data does."
            )
        self.kinds = self.kinds or {name: self._kind(name, given[name]) for name in names}
        return {name: self._checked(name, kind, given[name]) for name, kind in self.kinds.items()}

    def require_number(self) -> None:
        """Refuses data of which neither a batch nor a number of classes says that it has labels."""
        if not self.kinds and not self._chosen and not self._known:
            raise self._unnumbered("")

    def agree(self, trainer: Trainer) -> None:
        """Shares the kinds with ranks that have not met a labeled sample yet; a no-op after the first that knows."""
        if self._agreed or trainer.world_size == 1:
            return
        forms: list[Any] = [None] * trainer.world_size
        mine = [(name, type(kind).__name__, kind.size) for name, kind in self.kinds.items()]
        distributed.all_gather_object(forms, mine)
        found: list[tuple[str, str, int]] = next((form for form in forms if form), [])
        if other := next((form for form in forms if form and form != found), None):
            raise MisconfigurationException(f"{self._owner}: ranks have other labels, {found} and {other}.")
        by_name = {kind.__name__: kind for kind in (ClassLabel, ValueLabel, TagLabel)}
        self.kinds = self.kinds or {name: by_name[kind](size) for name, kind, size in found}
        self._agreed = bool(found)

    def check(self, trainer: Trainer, device: torch.device) -> None:
        """Refuses what has come since the last call, on all ranks together."""
        if not self.kinds:
            return
        nothing = torch.tensor(-torch.inf, device=device)
        found = torch.stack([self._offenders.get(name, nothing) for name in self.kinds])
        for name, value in zip(self.kinds, trainer.strategy.reduce(found, reduce_op="max").tolist(), strict=True):
            self._refuse(name, value)

    def _names(self, given: Mapping[str, Tensor]) -> list[str]:
        if self._chosen:
            return list(self._chosen) if isinstance(self._chosen, dict) else [""]
        if not self._known or not self._strict:
            return list(given)
        named = self._known if isinstance(self._known, dict) else {"": self._known}
        forms = {name: form_of(target) for name, target in given.items()}
        others = [name for name, form in forms.items() if form is None or form[0] is not ClassLabel]
        return [*named, *(name for name in others if name not in named)]

    def _number(self, numbers: Numbers, name: str) -> int | None:
        return numbers.get(name) if isinstance(numbers, dict) else numbers or None

    def _kind(self, name: str, target: Tensor) -> LabelKind:
        chosen = self._number(self._chosen, name)
        form = form_of(target)
        if form is None:
            raise MisconfigurationException(
                f"{self._owner} cannot use {listed([name])} of type {target.dtype} and shape {list(target.shape)}: "
                "give int64 [B] of classes, float [B] or [B, K] of values, or int64 [B, K] of 0 and 1 with K above 1."
            )
        kind, columns = form
        if kind is not ClassLabel:
            asked = chosen or (self._number(self._known, name) if kind is TagLabel else None)
            if asked and asked != columns:
                raise MisconfigurationException(
                    f"{self._owner} has num_classes {asked} for {listed([name])}, and the batch has "
                    f"{kind(columns).described()} a sample: correct num_classes, or give int64 [B] of classes."
                )
            return kind(columns)
        number = chosen or self._number(self._known, name)
        if self._strict and not number:
            raise self._unnumbered(name)
        if number == 1:
            raise MisconfigurationException(
                f"{self._owner} cannot tell 1 class apart for {listed([name])}: use data with at least 2 classes, or "
                "leave the callback out."
            )
        return ClassLabel(number or 0)

    def _checked(self, name: str, kind: LabelKind, target: Tensor) -> Tensor:
        form = form_of(target)
        if form is None or form[0] is not type(kind) or (form[1] != kind.size and not isinstance(kind, ClassLabel)):
            raise MisconfigurationException(
                f"{self._owner} has met {kind.described()} as {listed([name])}, and now one of type {target.dtype} and "
                f"shape {list(target.shape)}: give each label one type and shape."
            )
        target = in_form(kind, target)
        self.look(name, target)
        return target

    def look(self, name: str, target: Tensor) -> None:
        """Refuses a label whose kind is known, now or in ``check``, if a value of it is out of range."""
        found = self.kinds[name].offender(target)
        if target.device.type == "cpu" or name not in self._offenders:
            self._refuse(name, float(found))
        self._offenders[name] = torch.maximum(found, self._offenders.get(name, found))

    def _refuse(self, name: str, value: float) -> None:
        if value > -torch.inf:
            kind = self.kinds[name]
            has = f"has {kind.size} classes for" if isinstance(kind, ClassLabel) and kind.size else "reads"
            raise MisconfigurationException(
                f"{self._owner} {has} {listed([name])}, and the batch has {kind.refusal(value)}"
            )

    def _unnumbered(self, name: str) -> MisconfigurationException:
        of = f" of {listed([name])}" if name else ""
        return MisconfigurationException(
            f"{self._owner} needs labels, and {self._data} has no num_classes{of}: use labeled data, give the "
            "callback num_classes, or leave it out."
        )


def listed(labels: Iterable[str]) -> str:
    """Names of labels, for messages."""
    names = [label for label in labels if label]
    return f"the label(s) {', '.join(names)}" if names else "a single label without a name"


def data_name(trainer: Trainer) -> str:
    """Where a run's data comes from, for messages."""
    source = trainer.datamodule  # type: ignore[attr-defined]
    return "the data (there is no DataModule)" if source is None else type(source).__name__
