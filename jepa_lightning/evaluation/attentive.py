# S samples, N tokens, D width
"""Attentive probes on frozen tokens, with a grid of learning rates, weight decays and depths."""

import torch
from torch import Tensor

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.figures import Tally
from jepa_lightning.evaluation.tasks import Grid, Record, Settings, Task
from jepa_lightning.probing.attentive_grid import AttentiveRecipe, FittedHeads, Tokens, fit_attentive

TOKENS = "tokens"
PUBLISHED_LRS, PUBLISHED_DECAYS = (5e-3, 3e-3, 1e-3, 3e-4, 1e-4), (0.01, 0.1, 0.4, 0.8)
RECIPES: dict[Grid, list[AttentiveRecipe]] = {
    # short trainings learn hardly anything on tokens that are not brought to one scale
    "quick": [AttentiveRecipe((1e-2, 3e-3, 1e-3), (0.01,), depth=1, epochs=10)],
    "published": [
        AttentiveRecipe(PUBLISHED_LRS, PUBLISHED_DECAYS, depth, epochs=20, normalize=False) for depth in (1, 4)
    ],
}


def attentive(task: Task, train: Table, test: Table, settings: Settings) -> Record:
    """A learned query gathers what it needs from the tokens; a linear layer reads it.

    All heads of a depth are trained at once on a part of the training samples. The one that does best on the rest is
    trained again on all of them. The published grid is V-JEPA 2's (arXiv 2506.09985): 20 heads of 1 and of 4 blocks, 20
    epochs; the quick one has 3 heads of 1 block and 10 epochs, on normalized tokens.

    Returns:
        As of ``linear``, with ``lr``, ``weight_decay`` and ``depth``.
    """
    tokens, others = train.features[TOKENS], test.features[TOKENS]
    compared: list[tuple[float, float, AttentiveRecipe, tuple[float, float]]] = []
    for recipe in RECIPES[settings.grid]:
        heads = _fit(task, tokens, task.fit, recipe, recipe.variants, settings)
        held = _tallies(task, heads, tokens, task.train[task.held], task.target[task.held])
        tested = _tallies(task, heads, others, task.test, task.test_target)
        compared += [(h.value, t.value, recipe, v) for h, t, v in zip(held, tested, recipe.variants, strict=True)]
    validation, _, recipe, (lr, decay) = max(compared, key=lambda each: each[0])
    heads = _fit(task, tokens, torch.arange(len(task.train)), recipe, [(lr, decay)], settings)
    [found] = _tallies(task, heads, others, task.test, task.test_target)
    return {
        **found.figures(settings.seed),
        "lr": lr,
        "weight_decay": decay,
        "depth": recipe.depth,
        "validation": validation,
        "best_on_test": max(found.value, *(each[1] for each in compared)),
    }


def _fit(
    task: Task,
    tokens: Tokens,
    places: Tensor,
    recipe: AttentiveRecipe,
    variants: list[tuple[float, float]],
    settings: Settings,
) -> FittedHeads:
    rows, target = task.train[places], task.target[places]
    return fit_attentive(tokens, rows, target, task.kind, recipe, variants, settings.seed, settings.device)


def _tallies(task: Task, heads: FittedHeads, tokens: Tokens, rows: Tensor, target: Tensor) -> list[Tally]:
    found: list[Tally] = []
    done = 0
    for part, outputs in heads.outputs(tokens, rows):
        found = found or [Tally(task.kind, torch.device("cpu")) for _ in outputs]
        for tally, values in zip(found, outputs, strict=True):
            tally.add(values, target[done : done + len(part)])
        done += len(part)
    return found
