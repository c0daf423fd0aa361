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
    kinds = {name: value.dtype for name, value in {**labels, **batch.extras}.items() if isinstance(value, Tensor)}
    if rounded := [name for name, kind in kinds.items() if kind in HALF]:
        digits = "two or three" if torch.bfloat16 in kinds.values() else "three"
        rank_zero_warn(
            f"{', '.join(rounded)}: these values of the batch are rounded to {digits} digits, since the precision of "
            "the run casts all that a batch holds. Set --trainer.precision bf16-mixed, which leaves them as they are."
        )
