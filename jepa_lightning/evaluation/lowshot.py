# S samples
"""Linear classifiers on a few labeled samples of each class."""

from statistics import mean, stdev

from scipy.stats import t as student  # type: ignore[import-untyped]

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.figures import LEVEL, tallied
from jepa_lightning.evaluation.linear import DECAYS, best_decay, fitted_outputs
from jepa_lightning.evaluation.splits import HELD, draw_of_each
from jepa_lightning.evaluation.tasks import Record, Settings, Task, standardized
from jepa_lightning.probing.label_kinds import ClassLabel

DRAWS = 5
AMOUNTS: dict[str, float | int] = {"1 %": 0.01, "10 %": 0.1, "1 each": 1, "5 each": 5, "20 each": 20}
FIXED = 1e-2  # weight decay where there are too few samples to choose one on


def lowshot(task: Task, train: Table, test: Table, settings: Settings) -> Record | None:
    """Logistic regression on the last block's features, for several draws of 1 %, of 10 %, and of n samples a class.

    The weight decay is chosen on a fifth of the drawn samples alone, or is 0.01 where a class has fewer than five.

    Returns:
        ``accuracy`` with 1 % and its interval over the draws, and under ``amounts`` those of each amount, with the
        number of samples; None where the label is no class.
    """
    if not isinstance(task.kind, ClassLabel):
        return None
    x, y = standardized(train.features, test.features, next(iter(train.features)), task, settings.device)
    amounts = {}
    for name, amount in AMOUNTS.items():
        values, size = [], 0
        for draw in range(DRAWS):
            rows = draw_of_each(task.target, amount, seed=settings.seed * DRAWS + draw)
            target = task.target[rows]
            counts = target.bincount()
            few = counts[counts > 0].min() < round(1 / HELD)
            decay = FIXED if few else best_decay(task.kind, x[rows], target, DECAYS[settings.grid], draw)
            [([outputs], _)] = fitted_outputs(task.kind, x[rows], target.to(x.device), [y], [decay])
            values.append(tallied(task.kind, outputs.cpu(), task.test_target).value)
            size = len(rows)
        half = float(student.ppf((1 + LEVEL) / 2, DRAWS - 1)) * stdev(values) / DRAWS**0.5
        middle = mean(values)
        amounts[name] = {
            "accuracy": middle,
            "interval": [max(0.0, middle - half), min(1.0, middle + half)],
            "samples": size,
            "draws": values,
        }
    first = amounts["1 %"]
    return {"accuracy": first["accuracy"], "interval": first["interval"], "amounts": amounts}
