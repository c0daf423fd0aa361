"""YAML of configurations, checked before it is built: no key twice, no aliases that grow without bound."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import yaml
from jsonargparse import get_loader

from jepa_lightning.cli.errors import UsageError
from jepa_lightning.renamed_options import with_new_names_inside

MAX_NODES = 100_000  # values with all aliases written out; the configurations of this package have about 100
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(text: str) -> Any:
    """The value of a text, as jsonargparse reads YAML, with the present names of options that have been renamed.

    Args:
        text: a whole configuration, or one value of the command line.

    Raises:
        UsageError: if a mapping has a key twice, or if aliases are recursive or make the text too large.
        yaml.YAMLError: if it is not YAML.
    """
    text = text.removeprefix("\ufeff")
    if ":" in text or "*" in text:
        check_yaml(text)
    return with_new_names_inside(get_loader("yaml")(text))


def check_yaml(text: str, name: str = "") -> type | None:
    """Reads a text event by event, without building what it holds.

    Args:
        text: of the configuration.
        name: of its file, for errors.

    Returns:
        What it holds: dict, list or str; None if it is empty.

    Raises:
        UsageError: as for ``load_yaml``.
        yaml.YAMLError: if it is not YAML.
    """
    document = _Document(f"{name}: " if name else "")
    for event in yaml.parse(text, Loader=LOADER):
        document.take(event)
    return document.kind


@dataclass
class _Open:
    """A mapping or a list that has begun and has not ended."""

    path: str
    mapping: bool
    anchor: str | None
    nodes: int = 1
    key: str | None = None  # whose value comes next
    items: Iterator[int] = field(default_factory=count)  # numbers of a list's items


class _Document:
    """The state of a document while its events come in."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.kind: type | None = None
        self._open: list[_Open] = []
        self._lines: dict[str, int] = {}  # of keys, with the keys around them
        self._nodes: dict[str, int | None] = {}  # of anchors; None while they are open

    def take(self, event: yaml.Event) -> None:
        """Takes the next event."""
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            mapping = isinstance(event, yaml.MappingStartEvent)
            path = self._begin_value(dict if mapping else list)
            self._open.append(_Open(path, mapping, event.anchor))
            if event.anchor:
                self._nodes[event.anchor] = None
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            closed = self._open.pop()
            if closed.anchor:
                self._nodes[closed.anchor] = closed.nodes
            self._count(closed.nodes)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        around = self._open[-1] if self._open else None
        if around and around.mapping and around.key is None:
            self._key(around, event.value, event.start_mark.line + 1)
        else:
            self._begin_value(str)
            if event.anchor:
                self._nodes[event.anchor] = 1
        self._count(1)

    def _key(self, around: _Open, key: str, line: int) -> None:
        around.key = key
        path = f"{around.path}.{key}" if around.path else key
        # `<<` may stand several times: each merges another mapping
        if key == "<<":
            return
        if path in self._lines:
            first = self._lines[path]
            lines = f"lines {first} and {line}" if first != line else f"line {line}"
            raise UsageError(f"{self.where}'{path}' is given twice, in {lines}: keep one of them.")
        self._lines[path] = line

    def _alias(self, event: yaml.AliasEvent) -> None:
        nodes = self._nodes.get(event.anchor, 0)  # what is unknown the loader refuses
        if nodes is None:
            raise UsageError(f"{self.where}the alias *{event.anchor} in line {event.start_mark.line + 1} holds itself.")
        self._begin_value(str)
        self._count(nodes)

    def _begin_value(self, kind: type) -> str:
        """Notes that a value begins; its path."""
        self.kind = self.kind or kind
        if not self._open:
            return ""
        around = self._open[-1]
        if not around.mapping:
            return f"{around.path}[{next(around.items)}]"
        if around.key is None:  # a key that is not plain text, which the loader refuses
            around.key = "?"
            return f"{around.path}.?"
        path = f"{around.path}.{around.key}" if around.path else around.key
        around.key = None
        return path

    def _count(self, nodes: int) -> None:
        if self._open:
            self._open[-1].nodes += nodes
            if self._open[-1].nodes > MAX_NODES:
                raise UsageError(
                    f"{self.where}more than {MAX_NODES} values, with its aliases written out: this is no configuration."
                )
