"""The one schedule of learning rate and weight decay."""

import math
from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

# of a group, whatever its optimizer's saved state says
SET_ANEW = ("initial_lr", "initial_weight_decay", "constant")


class WarmupCosine(LRScheduler):
    """Moves learning rate and weight decay at every optimizer step: linear warm-up, cosine, floor.

    The learning rate runs from ``start_lr`` at the first step to the optimizer's own at step ``warmup_steps``, then
    along a cosine to ``final_lr`` at the last step, and stays there. Weight decay follows a cosine over the whole run,
    without warm-up. Both are set on construction, before the first step. Groups with another learning rate keep
    its ratio to the optimizer's. Source: arXiv 2301.08243, appendix A.1; its weight decay is a cosine in the code.

    With Lightning, return it with ``"interval": "step"``. A saved state holds the step alone: resumed with another
    horizon or rate, the run follows the new ones from that step on.

    Args:
        optimizer: holds the peak learning rate and the first weight decay. Its groups may carry ``decay``: False keeps
            their weight decay as it is. Without the key, groups with a weight decay of 0 are left alone. Groups whose
            ``constant`` is True keep their learning rate.
        total_steps: optimizer steps in the run.
        warmup_steps: steps before the peak; 0 starts at the peak.
        start_lr: learning rate of the first step.
        final_lr: learning rate of the last step and the floor after it.
        weight_decay_end: weight decay of the last step; None keeps it constant.
        linear: fall along a line to ``final_lr`` instead of a cosine, as V-JEPA 2 cools down.
        legacy: count from 1 as the reference does, so that the first step is already one step up the warm-up and the
            last value is reached at ``total_steps``. The reference's rates rise again after that; these never do.
        given: names of further options of the optimizer that were given, such as ``betas``. A resumed run takes them
            as they are given now; the optimizer's state, which is loaded before the schedule's, brings back old ones.

    Raises:
        ValueError: if the horizon is not a positive number of steps, the warm-up does not end before it, or the
            optimizer's learning rate is 0.

    Example:
        >>> import torch
        >>> from jepa_lightning.optim import WarmupCosine
        >>> optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(2))], lr=1e-3, weight_decay=0.04)
        >>> schedule = WarmupCosine(optimizer, total_steps=100, warmup_steps=10, weight_decay_end=0.4)
        >>> for _ in range(10):
        ...     optimizer.step()
        ...     schedule.step()
        >>> optimizer.param_groups[0]["lr"]  # the peak, at the end of the warm-up
        0.001
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup_steps: int = 0,
        start_lr: float = 0.0,
        final_lr: float = 0.0,
        weight_decay_end: float | None = None,
        legacy: bool = False,
        linear: bool = False,
        given: Iterable[str] = (),
    ) -> None:
        if not 1 <= total_steps < math.inf:
            raise ValueError(
                f"a schedule over {total_steps} steps is not possible: set max_steps, or max_epochs where the length "
                "of the data is known."
            )
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"a warm-up of {warmup_steps} steps does not end within {total_steps} steps in total: "
                "shorten the warm-up or train longer."
            )
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.start_lr = start_lr
        self.final_lr = final_lr
        self.weight_decay_end = weight_decay_end
        self.legacy, self.linear = legacy, linear
        self.peak_lr = float(optimizer.defaults["lr"])
        if self.peak_lr <= 0:
            raise ValueError(f"the schedule needs a learning rate above 0, got {self.peak_lr}.")
        for group in optimizer.param_groups:
            # kept in the group like torch's initial_lr: an optimizer loaded beforehand carries a decay of midway
            group.setdefault("initial_weight_decay", group["weight_decay"])
        self.base_weight_decays = [group["initial_weight_decay"] for group in optimizer.param_groups]
        self.decays = [group.get("decay", group["initial_weight_decay"] > 0) for group in optimizer.param_groups]
        super().__init__(optimizer)
        names = (*SET_ANEW, *given)
        self.settings = [{name: group[name] for name in names if name in group} for group in optimizer.param_groups]

    def get_lr(self) -> list[float]:  # type: ignore[override]  # torch 2.5 says list[float], later ones allow tensors
        """Learning rate of each group at the present step."""
        step, last = self._position()
        if step < self.warmup_steps:
            lr = self.start_lr + step / self.warmup_steps * (self.peak_lr - self.start_lr)
        else:
            fall = _line if self.linear else _cosine
            lr = fall(self.peak_lr, self.final_lr, step - self.warmup_steps, last - self.warmup_steps)
        return [
            float(base) if group.get("constant") else lr * float(base) / self.peak_lr
            for base, group in zip(self.base_lrs, self.optimizer.param_groups, strict=True)
        ]

    def get_weight_decay(self) -> list[float]:
        """Weight decay of each group at the present step."""
        if self.weight_decay_end is None:
            return list(self.base_weight_decays)
        step, last = self._position()
        return [
            _cosine(base, self.weight_decay_end, step, last) if decay else base
            for base, decay in zip(self.base_weight_decays, self.decays, strict=True)
        ]

    def get_last_lr(self) -> list[float]:  # type: ignore[override]
        """Learning rate of each group as the optimizer has it now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, epoch: int | None = None) -> None:
        """Sets both for the next optimizer step; call it after each optimizer step."""
        super().step(epoch)
        self._set_weight_decay()

    def state_dict(self) -> dict[str, Any]:
        """The number of optimizer steps done, as ``last_epoch``."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes to the saved step and sets the optimizer's learning rates and weight decays for it."""
        super().load_state_dict({"last_epoch": state_dict["last_epoch"]})
        for group, settings in zip(self.optimizer.param_groups, self.settings, strict=True):
            group.update(settings)
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._set_weight_decay()

    def _set_weight_decay(self) -> None:
        for group, weight_decay in zip(self.optimizer.param_groups, self.get_weight_decay(), strict=True):
            group["weight_decay"] = weight_decay

    def _position(self) -> tuple[int, int]:
        """The present step and the last one, in the count of the mode."""
        return (self.last_epoch + 1, self.total_steps) if self.legacy else (self.last_epoch, self.total_steps - 1)


def _cosine(start: float, end: float, step: int, last: int) -> float:
    """Half a cosine from start at step 0 to end at the last step, where it stays."""
    progress = min(step / max(last, 1), 1.0)
    return end + (start - end) / 2 * (1 + math.cos(math.pi * progress))


def _line(start: float, end: float, step: int, last: int) -> float:
    """A line from start at step 0 to end at the last step, where it stays."""
    return start + (end - start) * min(step / max(last, 1), 1.0)
