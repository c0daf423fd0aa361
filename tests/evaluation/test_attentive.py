import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.evaluation import attentive as module
from jepa_lightning.evaluation.attentive import RECIPES, TOKENS, attentive
from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.probing.attentive_grid import AttentiveRecipe


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates of which one learns in few passes and the other never does."""
    monkeypatch.setitem(RECIPES, "quick", [AttentiveRecipe((1e-9, 2e-2), (0.01,), depth=1, epochs=12)])


def table(size: int, seed: int) -> Table:
    """Tokens that know where they are, one of them with a mark: their mean is always the same, and the label where."""
    fixed = torch.Generator().manual_seed(9)
    where, mark = torch.randn(4, 8, generator=fixed), 2 * torch.randn(8, generator=fixed)
    generator = torch.Generator().manual_seed(seed)
    tokens = where + 0.2 * torch.randn(size, 4, 8, generator=generator)
    place = torch.arange(size) % 4
    tokens[torch.arange(size), place] += mark
    return Table({TOKENS: tokens.half().numpy()}, {"place": place})


def test_it_finds_what_the_mean_has_lost_with_the_rate_that_held_out_samples_choose(found: Any) -> None:
    record = found((table(240, 0), table(80, 1)), attentive)["place"]
    assert record["accuracy"] > 0.9
    assert (record["lr"], record["weight_decay"], record["depth"]) == (2e-2, 0.01, 1)
    assert record["validation"] > 0.8
    assert record["best_on_test"] >= record["accuracy"]
    assert record["interval"][0] < record["accuracy"] <= record["interval"][1]
    assert record["samples"] == 80


def test_the_choice_does_not_look_at_the_test_samples_and_those_without_a_label_are_left_out(found: Any) -> None:
    train, test = table(120, 0), table(40, 1)
    train.labels["place"][:40] = -1
    other = Table(test.features, {"place": test.labels["place"].flip(0)})
    other.labels["place"][:10] = -1
    first, second = (found((train, each), attentive)["place"] for each in (test, other))
    for name in ("lr", "weight_decay", "depth", "validation"):
        assert first[name] == second[name]
    assert (first["samples"], second["samples"]) == (40, 30)


def test_the_final_probe_is_trained_on_the_held_out_samples_too(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[tuple[int, int]] = []
    real = module.fit_attentive

    def noted(tokens: Any, rows: Any, target: Any, kind: Any, recipe: Any, variants: Any, *more: Any) -> Any:
        sizes.append((len(np.unique(rows)), len(variants)))
        return real(tokens, rows, target, kind, dataclasses.replace(recipe, epochs=1), variants, *more)

    monkeypatch.setattr(module, "fit_attentive", noted)
    found((table(100, 0), table(20, 1)), attentive)
    assert sizes[0][0] < 100
    assert sizes == [(sizes[0][0], 2), (100, 1)]
