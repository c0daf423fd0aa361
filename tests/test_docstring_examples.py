"""Public classes of these packages, and functions that probe or evaluate, have an example, and it runs."""

import doctest
import inspect
from typing import Any

import pytest

from jepa_lightning import (
    callbacks,
    checkpoints,
    data,
    distributed,
    ema,
    energy,
    evaluation,
    losses,
    masking,
    modules,
    nn,
    optim,
    planning,
)
from jepa_lightning.interop import LoadReport
from jepa_lightning.losses import info_nce
from jepa_lightning.masking import covering_masks
from jepa_lightning.probing.attentive import attentive_probe
from jepa_lightning.probing.linear import linear_probe
from jepa_lightning.types import Batch, Sample
from jepa_lightning.worlds import ImageWorld, TwoRooms, TwoRoomsVector, make_world
from jepa_lightning.worlds.layouts import layouts_of
from jepa_lightning.worlds.policies import Wanderer

PACKAGES = (
    modules, losses, data, callbacks, energy, planning, nn, masking, optim, ema, distributed, checkpoints,
)  # fmt: skip
CLASSES = [
    value
    for package in PACKAGES
    for value in map(package.__dict__.get, package.__all__)
    if inspect.isclass(value) and value.__module__.startswith("jepa_lightning")
]
CLASSES += [Batch, ImageWorld, LoadReport, Sample, TwoRooms, TwoRoomsVector, Wanderer]
PLANNING = [value for value in map(planning.__dict__.get, planning.__all__) if inspect.isfunction(value)]
ENERGY = [value for value in map(energy.__dict__.get, energy.__all__) if inspect.isfunction(value)]
EVALUATION = map(evaluation.__dict__.get, evaluation.__all__)
FUNCTIONS = [
    layouts_of, make_world, *ENERGY, *EVALUATION, *PLANNING, covering_masks, info_nce, linear_probe, attentive_probe,
]  # fmt: skip


@pytest.mark.parametrize("cls", [*CLASSES, *FUNCTIONS], ids=lambda cls: cls.__name__)
def test_the_example_runs(cls: Any, capsys: Any, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    # without names of the file it stands in: an example brings its imports
    (found,) = doctest.DocTestFinder(recurse=False).find(cls, cls.__name__, globs={})
    assert found.examples, f"{cls.__name__} has no example in its docstring"
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(found)
    assert not result.failed, capsys.readouterr().out
