# S samples, D width
"""Nearest neighbors on frozen features, with a grid of their number and of the temperature of their votes."""

from torch import Tensor

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.figures import Tally
from jepa_lightning.evaluation.tasks import Grid, Record, Settings, Task, rows_of
from jepa_lightning.probing.neighbors import Choice, neighbor_outputs

KS = (5, 10, 20, 50, 100, 200)
TEMPERATURES: dict[Grid, tuple[float, ...]] = {"quick": (0.02, 0.07, 0.2), "published": (0.07,)}


def knn(task: Task, train: Table, test: Table, settings: Settings) -> Record:
    """Exact neighbors by cosine among all training samples, with weights ``exp(cosine / temperature)``.

    Number, temperature and features are those that do best on a part of the training samples, with the rest as the
    bank. The published grid has the temperature 0.07 alone. Source: instance discrimination, arXiv 1805.01978.

    Returns:
        As of ``linear``.
    """
    compared: dict[tuple[str, Choice], tuple[float, float]] = {}
    ks, temperatures = KS, TEMPERATURES[settings.grid]
    for layers in train.features:
        x = rows_of(train.features[layers], task.train, settings.device)
        y = rows_of(test.features[layers], task.test, settings.device)
        held = _tallies(
            task, x[task.fit], task.target[task.fit], x[task.held], task.target[task.held], ks, temperatures
        )
        tested = _tallies(task, x, task.target, y, task.test_target, ks, temperatures)
        compared |= {(layers, choice): (held[choice].value, tested[choice].value) for choice in held}
    (layers, (k, temperature)), (validation, _) = max(compared.items(), key=lambda item: item[1][0])
    x = rows_of(train.features[layers], task.train, settings.device)
    y = rows_of(test.features[layers], task.test, settings.device)
    found = _tallies(task, x, task.target, y, task.test_target, (k,), (temperature,))[k, temperature]
    return {
        **found.figures(settings.seed),
        "layers": layers,
        "k": k,
        "temperature": temperature,
        "validation": validation,
        "best_on_test": max(test for _, test in compared.values()),
    }


def _tallies(
    task: Task,
    bank: Tensor,
    target: Tensor,
    queries: Tensor,
    truth: Tensor,
    ks: tuple[int, ...],
    temperatures: tuple[float, ...],
) -> dict[Choice, Tally]:
    """Metrics of each choice; neighbors are found once for all of them."""
    target, truth = target.to(bank.device), truth.to(bank.device)
    found = {(k, temperature): Tally(task.kind, bank.device) for k in ks for temperature in temperatures}
    for rows, outputs in neighbor_outputs(bank, target, queries, task.kind, ks, temperatures):
        for choice, values in outputs.items():
            found[choice].add(values, truth[rows])
    return found
