# B batch, K columns of a label
"""Mean and standard deviation of regression targets, as far as training has shown them."""

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from jepa_lightning.probing.metrics import precise


class TargetScale:
    """Brings targets to mean 0 and variance 1, and what a probe has learned on them back to their own units.

    Args:
        size: K.
        device: of the targets.

    Attributes:
        sums: count, sum and sum of squares over the training targets of all ranks, ``[3, K]``.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.sums = torch.zeros(3, size, dtype=precise(device), device=device)
        self._new = torch.zeros_like(self.sums)  # since the last step, of this rank alone

    def add(self, target: Tensor, labeled: Tensor) -> None:
        """Counts the labeled rows of ``[B, K]`` targets."""
        known = target.where(labeled[:, None], 0).to(self.sums.dtype)
        count = labeled.sum().expand(known.shape[1])
        self._new += torch.stack([count, known.sum(dim=0), known.square().sum(dim=0)])

    def settle(self, trainer: Trainer) -> None:
        """Shares with all ranks what has been added; called by all of them at each step."""
        # a sum on one rank is the value itself
        self.sums += trainer.strategy.reduce(self._new, reduce_op="sum")
        self._new = torch.zeros_like(self.sums)

    @property
    def seen(self) -> Tensor:
        """The sums, with what this rank has added since the last step."""
        return self.sums + self._new

    def standardize(self, target: Tensor) -> Tensor:
        """Targets with mean 0 and variance 1."""
        mean, std = self._moments()
        return ((target - mean) / std).float()

    def restore(self, outputs: Tensor) -> Tensor:
        """Outputs in the units of the targets."""
        mean, std = self._moments()
        return outputs * std + mean

    def _moments(self) -> tuple[Tensor, Tensor]:
        count, total, squares = self.seen
        mean = total / count.clamp(min=1)
        variance = (squares / count.clamp(min=1) - mean.square()).clamp(min=0)
        # rounding leaves a little variance to targets that are all the same
        constant = variance <= 1e-14 * mean.square().clamp(min=torch.finfo(variance.dtype).tiny)
        return mean, variance.sqrt().where(~constant, 1)
