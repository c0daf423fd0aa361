"""Each option of a module has one self-contained line of help: ``--model.help`` shows nothing around it."""

import inspect
import re

import pytest

from jepa_lightning import modules

CLASSES = [getattr(modules, name) for name in modules.__all__]
ENTRY = re.compile(r"^ {8}(\w+): (.*(?:\n {12}\S.*)*)", re.MULTILINE)
OPENS = re.compile(r"as in|see ``|of |at |between|its |it |those|both")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_option_says_what_it_is_by_itself(cls: type) -> None:
    text = cls.__doc__ or ""
    texts = {name: " ".join(line.split()) for name, line in ENTRY.findall(text.partition("Args:")[2])}
    options = [name for name in inspect.signature(cls.__init__).parameters if name not in ("self", "kwargs")]
    assert [name for name in options if name not in texts] == []
    for name in options:
        line = texts[name]
        assert line.endswith("."), f"{name}: {line}"
        assert not OPENS.match(line), f"{name}: {line}"
        assert "as in ``" not in line, f"{name}: {line}"
