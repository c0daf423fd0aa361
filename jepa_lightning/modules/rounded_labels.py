"""Warns where labels that are values come in half precision."""

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from jepa_lightning.types import Batch

HALF = (torch.bfloat16, torch.float16)


def warn_of_rounded_labels(batch: Batch) -> None:
    """Names the labels, and the actions and states of clips, that the precision of the run has rounded.

    Precision ``bf16-true`` and ``16-true`` cast all floats of a batch, and those of ``bf16-mixed`` stay as they are.

    Args:
        batch: of the first step, as it comes to the module.
    """
    labels = batch.labels if isinstance(batch.labels, dict) else {"label": batch.labels}
    values = {**labels, **batch.extras}.items()
    if rounded := [name for name, value in values if isinstance(value, Tensor) and value.dtype in HALF]:
        rank_zero_warn(
            f"{', '.join(rounded)}: these values of the batch are rounded to two or three digits, since the precision "
            "of the run casts all that a batch holds. Set --trainer.precision bf16-mixed, which leaves them as is."
        )
