"""Stops training when the loss is not finite, without making the host wait for a GPU."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


class FiniteLoss:
    """Checks each loss: immediately on a CPU; on a GPU when the next one is given, or ``check`` is called.

    The host gives a GPU work ahead of time. It would have to wait for all of that work if it looked at the loss of the
    same step; the loss of the step before has been computed by then.
    """

    def __init__(self) -> None:
        self._pending: tuple[Callable[[], float], int, float] | None = None

    def add(self, loss: Tensor, step: int, lr: float) -> None:
        """Takes the loss of a step.

        Args:
            loss: a scalar.
            step: optimizer steps before this one, for the message.
            lr: learning rate, for the message.

        Raises:
            FloatingPointError: if this loss, or on a GPU the one before, is not finite.
        """
        self.check()
        self._pending = (_copy_to_host(loss.detach()), step, lr)
        if not loss.is_cuda:
            self.check()

    def check(self) -> None:
        """Checks the last loss that was given, which may have to be waited for.

        Raises:
            FloatingPointError: if it is not finite.
        """
        if self._pending is None:
            return
        (read, step, lr), self._pending = self._pending, None
        if not math.isfinite(value := read()):
            raise diverged(f"the loss is {value}", step, lr)


def diverged(what: str, step: int, lr: float | None) -> FloatingPointError:
    """The error that ends a run whose numbers are not finite.

    Args:
        what: is not finite.
        step: optimizer steps before.
        lr: learning rate; None where there is no optimizer.
    """
    rate = "" if lr is None else f", learning rate {lr:.3g}"
    return FloatingPointError(
        f"{what} at step {step}{rate}. Checkpoints are from before this step: lower the learning rate, lengthen the "
        "warm-up or clip gradients (--trainer.gradient_clip_val 1), and resume with --ckpt_path last."
    )


def _copy_to_host(value: Tensor) -> Callable[[], float]:
    """Starts a copy of a scalar; the function waits for the copy alone and gives the number."""
    if not value.is_cuda:
        return value.item
    copy = value.to("cpu", non_blocking=True)  # into pinned memory
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record()

    def read() -> float:
        copied.synchronize()
        return copy.item()

    return read
