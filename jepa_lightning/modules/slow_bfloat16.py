"""Warns where a run computes in bfloat16 on a CPU that has no instructions for it."""

import time
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_warn

SIDE = 256  # of the matrices that are multiplied
SLOWER = 2  # times, from which a run is told


def warn_of_slow_bfloat16(module: Any) -> None:
    """Says how many times slower than float32 this CPU multiplies in bfloat16, if it is, and what computes in it.

    It is measured, in about 0.1 s, since neither the name of a CPU nor its instructions tell what torch makes of them.

    Args:
        module: a ``JEPAModule`` attached to a Trainer.
    """
    users = _users(str(module.trainer.precision), str(module.hparams.get("optimizer", "")))
    if module.device.type != "cpu" or not users:
        return
    ratio = _seconds(torch.bfloat16) / _seconds(torch.float32)
    if ratio > SLOWER:
        what, remedies = " and ".join(users), " and ".join(users.values())
        rank_zero_warn(
            f"this CPU multiplies matrices {ratio:.0f} times slower in bfloat16 than in float32, and {what} "
            f"{'compute' if len(users) > 1 else 'computes'} in it: set {remedies}."
        )


def _users(precision: str, optimizer: str) -> dict[str, str]:
    """What computes in bfloat16, and the option that has it in float32."""
    users = {f"precision {precision}": "--trainer.precision 32-true"} if precision.startswith("bf16") else {}
    if "muon" in optimizer.lower():  # timm orthogonalizes updates in bfloat16, whatever the precision of weights
        users[f"optimizer {optimizer}"] = "--model.optimizer adamw"
    return users


def _seconds(dtype: torch.dtype) -> float:
    """Time of a product, the shortest of three."""
    matrix = torch.ones(SIDE, SIDE, dtype=dtype)
    measured = []
    for _ in range(3):
        start = time.perf_counter()
        matrix @ matrix
        measured.append(time.perf_counter() - start)
    return min(measured)
