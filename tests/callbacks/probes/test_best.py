import pytest

from jepa_lightning.callbacks.probes.best import BestValues
from jepa_lightning.probing.scores import Figure


def test_keeps_the_highest_or_the_lowest_error() -> None:
    best = BestValues()
    for value in (0.2, 0.5, 0.3):
        best.add("accuracy", Figure("accuracy", value, True))
        best.add("error", Figure("error", value, False))
    assert best.values == {"accuracy": 0.5, "error": 0.2}


def test_warns_once_of_a_lasting_fall_also_after_a_restore() -> None:
    first, second = BestValues(), BestValues()
    first.add("a", Figure("a", 0.9, True))
    first.watch("a", 0.5)
    second.load_state_dict(first.state_dict())
    with pytest.warns(UserWarning, match="a is at 0.500 .* best of 0.900"):
        second.watch("a", 0.5)
