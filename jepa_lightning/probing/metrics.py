"""Metrics that leave out what is not defined, where torchmetrics counts it as 0 or 1."""

import torch
from torch import Tensor
from torchmetrics import R2Score
from torchmetrics.classification import MultilabelAveragePrecision
from torchmetrics.utilities import dim_zero_cat


class DefinedR2(R2Score):
    """Mean over the columns whose targets differ. R2Score counts the others as 0 or 1, and small targets among them."""

    def compute(self) -> Tensor:
        """A scalar, NaN where no column is left."""
        mean_square, mean = self.sum_squared_error / self.total, self.sum_error / self.total
        variance = mean_square - mean.square()
        # what is left of equal numbers by rounding, in each of the sums
        differ = variance > self.total * torch.finfo(variance.dtype).eps * mean_square
        return (1 - self.residual / self.total / variance)[differ].mean()


class PresentAveragePrecision(MultilabelAveragePrecision):
    """Mean over the tags that a sample has: the precision of the others is not defined, and would count as 0."""

    def compute(self) -> Tensor:  # type: ignore[override]
        """A scalar, NaN where there is no tag at all."""
        each: Tensor = super().compute()
        return each[(dim_zero_cat(self.target) > 0).any(dim=0)].mean()


def precise(device: torch.device) -> torch.dtype:
    """Double precision, where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
