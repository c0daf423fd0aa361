"""The protocols by name."""

from collections.abc import Callable

from jepa_lightning.data.dense import BOX_CLASSES
from jepa_lightning.evaluation.attentive import attentive
from jepa_lightning.evaluation.dense import LABELS
from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.knn import knn
from jepa_lightning.evaluation.linear import linear
from jepa_lightning.evaluation.lowshot import lowshot
from jepa_lightning.evaluation.regression import regression
from jepa_lightning.evaluation.tasks import Record, Settings, Task

Protocol = Callable[[Task, Table, Table, Settings], Record | None]  # None where a label is not for it

# on pooled features, and on tokens; each label is a task of its own
POOLED: dict[str, Protocol] = {"linear": linear, "knn": knn, "lowshot": lowshot, "regression": regression}
TOKENS: dict[str, Protocol] = {"attentive": attentive}
DETECTION = "detection"
DENSE = {**LABELS, DETECTION: BOX_CLASSES}  # on tokens and labels of pixels: what each needs
FINETUNE = "finetune"
PROPAGATION = "propagation"  # on whole videos
NAMES = (*POOLED, *TOKENS, FINETUNE, *DENSE, PROPAGATION)
WANTED = {
    "lowshot": "lowshot draws samples of classes, and no label is one: leave it out.",
    "regression": "regression is for labels that are numbers, or classes whose names are numbers, and the data have "
    "none: leave it out.",
}
