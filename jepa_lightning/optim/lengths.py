"""Lengths of a run and of its warm-up, in optimizer steps."""

import math
import re

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler


def optimizer_steps(trainer: Trainer) -> float:
    """Optimizer steps in the run of a Trainer, with ``accumulate_grad_batches`` of each epoch.

    ``Trainer.estimated_stepping_batches`` knows that of the present epoch alone. Infinite where the run has no end, or
    is counted in epochs and the training data has no known length.

    Args:
        trainer: that trains, with its DataModule or loaders.
    """
    steps = trainer.estimated_stepping_batches
    if steps == -1:  # Lightning's max_steps where nothing else is known
        return math.inf
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    schedulers = [callback for callback in callbacks if isinstance(callback, GradientAccumulationScheduler)]
    batches, epochs = trainer.num_training_batches, trainer.max_epochs
    if not schedulers or math.isinf(batches) or epochs is None or epochs < 0:
        return steps
    each = (math.ceil(batches / schedulers[-1].get_accumulate_grad_batches(epoch)) for epoch in range(max(epochs, 1)))
    return sum(each) if trainer.max_steps == -1 else min(sum(each), trainer.max_steps)


def warmup_steps(warmup: int | float | str, total_steps: float, steps_per_epoch: float, name: str = "warmup") -> int:
    """Turns a warm-up as people write it into optimizer steps.

    Args:
        warmup: a whole number of steps, a fraction of the run below 1, or a text such as ``"40 epochs"``,
            ``"500 steps"`` or ``"10%"``.
        total_steps: optimizer steps in the run.
        steps_per_epoch: optimizer steps in an epoch.
        name: of the option, for messages.

    Returns:
        Optimizer steps, rounded.

    Raises:
        ValueError: if the warm-up is none of these, or counts in something of unknown length.
    """
    if isinstance(warmup, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(epoch|step|%)s?\s*", warmup)
        if match:
            per_unit = {"epoch": steps_per_epoch, "step": 1.0, "%": total_steps / 100}[match[2]]
            return _whole(name, warmup, float(match[1]) * per_unit)
    elif isinstance(warmup, int) and warmup >= 0:
        return warmup
    elif 0 <= warmup < 1:
        return _whole(name, warmup, warmup * total_steps)
    raise ValueError(
        f"{name} {warmup!r} is not understood: give whole steps (500), a fraction of the run below 1 (0.1), or a "
        "text with its unit ('40 epochs', '500 steps', '10%')."
    )


def _whole(name: str, warmup: float | str, steps: float) -> int:
    if not math.isfinite(steps):
        raise ValueError(
            f"{name} {warmup!r} cannot be turned into steps, because the run or its epochs have no known length: "
            f"give the {name} in steps and the Trainer max_steps."
        )
    return round(steps)
