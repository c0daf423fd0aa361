"""The state of Lightning's fit loop, for runs that it has not seen."""

from typing import Any


def fit_loop_after(epochs: int, steps: int) -> dict[str, Any]:
    """The state of the loop at the end of an epoch, after which as many batches as optimizer steps have been seen.

    Args:
        epochs: that are done.
        steps: of the optimizer in all of them.
    """
    total, current = steps, steps // epochs
    batches = {
        "total": dict.fromkeys(("ready", "completed", "started", "processed"), total),
        "current": dict.fromkeys(("ready", "completed", "started", "processed"), current),
        "is_last_batch": True,
    }
    optimizer = {
        "step": {
            key: {"ready": number, "completed": number} for key, number in (("total", total), ("current", current))
        },
        "zero_grad": {
            key: {"ready": number, "completed": number, "started": number}
            for key, number in (("total", total), ("current", current))
        },
    }
    through = {"ready": epochs, "completed": epochs - 1, "started": epochs, "processed": epochs}
    scheduler = {
        key: {"ready": number, "completed": number} for key, number in (("total", total), ("current", current))
    }
    return {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": steps},
        "epoch_loop.batch_progress": batches,
        "epoch_loop.scheduler_progress": scheduler,
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {"optimizer": optimizer},
        "epoch_progress": {"total": through, "current": dict(through)},
    }
