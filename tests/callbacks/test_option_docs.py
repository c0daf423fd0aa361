"""Each option of a callback has its own line of help: ``--trainer.callbacks.help`` shows no other class."""

import inspect
import re
from typing import Any

import pytest

from jepa_lightning import callbacks

CLASSES = [getattr(callbacks, name) for name in callbacks.__all__]
ENTRY = re.compile(r"^ {8}(\w+): (.*(?:\n {12}\S.*)*)", re.MULTILINE)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_option_says_what_it_is_by_itself(cls: Any) -> None:
    texts = {name: " ".join(line.split()) for name, line in ENTRY.findall((cls.__doc__ or "").partition("Args:")[2])}
    options = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "args", "kwargs")]
    assert [name for name in options if name not in texts] == []
    assert [name for name in options if re.search("as in ``|^as |^see ", texts[name])] == []
