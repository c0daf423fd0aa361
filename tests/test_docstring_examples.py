"""Every public class of these packages has an example in its docstring, and it runs."""

import doctest
import inspect
from typing import Any

import pytest

from jepa_lightning import data, losses, modules

PACKAGES = (modules, losses, data)
CLASSES = [
    value
    for package in PACKAGES
    for value in map(package.__dict__.get, package.__all__)
    if inspect.isclass(value) and value.__module__.startswith("jepa_lightning")
]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_example_of_a_class_runs(cls: Any, capsys: Any) -> None:
    # without names of the file it stands in: an example brings its imports
    (found,) = doctest.DocTestFinder(recurse=False).find(cls, cls.__name__, globs={})
    assert found.examples, f"{cls.__name__} has no example in its docstring"
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found)
    assert not result.failed, capsys.readouterr().out
