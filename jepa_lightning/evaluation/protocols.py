"""The protocols by name."""

from collections.abc import Callable

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.knn import knn
from jepa_lightning.evaluation.linear import linear
from jepa_lightning.evaluation.tasks import Record, Settings, Task

# on pooled features; each label is a task of its own
POOLED: dict[str, Callable[[Task, Table, Table, Settings], Record]] = {"linear": linear, "knn": knn}
