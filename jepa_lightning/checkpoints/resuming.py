"""Whether training can be resumed from a checkpoint."""

from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer

OPTIMIZERS = "optimizer_names"
NEEDED = ("optimizer_states", "lr_schedulers", "loops")
NEW_RUN = "To start a new run from its weights alone, use the callback StartFrom in place of ckpt_path."


def check_resumable(
    checkpoint: dict[str, Any], optimizers: Sequence[Optimizer], num_schedules: int | None = None
) -> None:
    """Whether a checkpoint has more than weights, and its optimizers are those of this run.

    Args:
        checkpoint: of a file, or what a folder holds beside its shards; older ones do not name their optimizers.
        optimizers: of this run.
        num_schedules: of this run; None where they are not known yet.

    Raises:
        ValueError: if not.
    """
    needed = NEEDED if "state_dict" in checkpoint else NEEDED[1:]  # shards hold the optimizer's states
    if lacking := [name for name in needed if name not in checkpoint]:
        raise ValueError(
            f"training cannot be resumed from this checkpoint: it holds weights, and no {', '.join(lacking)}. {NEW_RUN}"
        )
    for name, what, number in (
        ("optimizer_states", "optimizers", len(optimizers)),
        ("lr_schedulers", "schedules", num_schedules),
    ):
        states = checkpoint.get(name)
        if states is not None and number is not None and len(states) != number:
            raise ValueError(
                f"training cannot be resumed from this checkpoint: it holds states of {len(states)} {what}, and this "
                f"run has {number}. {NEW_RUN}"
            )
    saved, here = checkpoint.get(OPTIMIZERS), [type(optimizer).__name__ for optimizer in optimizers]
    if saved is not None and saved != here:
        raise ValueError(
            f"the checkpoint was saved with the optimizer {', '.join(map(str, saved))}, and this run has "
            f"{', '.join(here)}: resume with the same one. {NEW_RUN}"
        )
