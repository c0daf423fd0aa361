# S samples, D width, C outputs of a label
"""Logistic regression with a squared penalty, solved to the end, in blocks of rows and on any device."""

from typing import NamedTuple

import torch
from torch import Tensor

from jepa_lightning.probing.label_kinds import LabelKind

HISTORY = 10  # steps that L-BFGS keeps, as scipy's: each is twice as large as the weights
BLOCK = 2**25  # numbers of a block of outputs, about 128 MB


class LinearMap(NamedTuple):
    """Outputs that are linear in standardized features.

    Attributes:
        weight: ``[D, C]``.
        bias: ``[C]``.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """``[S, D]`` to ``[S, C]``."""
        return torch.addmm(self.bias, features, self.weight)


def fit_logistic(
    features: Tensor,
    target: Tensor,
    kind: LabelKind,
    weight_decay: float,
    start: LinearMap | None = None,
    max_iter: int = 200,
) -> LinearMap:
    """The minimum of the mean loss of the samples plus ``weight_decay / 2`` times the squared weights.

    It is scikit-learn's ``LogisticRegression(C=1 / (weight_decay * S))``, by L-BFGS as there; the bias is free. Outputs
    are computed for blocks of rows, so that memory holds the features and one block.

    Args:
        features: ``[S, D]``, standardized.
        target: as ``kind`` takes it; samples without the label count for nothing.
        kind: of classes or tags.
        weight_decay: above 0.
        start: a solution for another weight decay, which saves steps.
        max_iter: steps at most.

    Example:
        >>> import torch
        >>> from jepa_lightning.probing.label_kinds import ClassLabel
        >>> features = torch.tensor([[-1.0], [-0.5], [0.5], [1.0]])
        >>> fitted = fit_logistic(features, torch.tensor([0, 0, 1, 1]), ClassLabel(2), weight_decay=0.1)
        >>> fitted(features).argmax(dim=1).tolist()
        [0, 0, 1, 1]
    """
    width, device = features.shape[1], features.device
    first = start or LinearMap(torch.zeros(width, kind.size, device=device), torch.zeros(kind.size, device=device))
    weight, bias = (each.clone().requires_grad_() for each in first)
    count = kind.labeled(target).sum().clamp(min=1)
    rows = max(1, BLOCK // kind.size)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iter,
        tolerance_grad=1e-5,
        tolerance_change=1e-9,
        history_size=HISTORY,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = weight_decay / 2 * weight.square().sum()
        torch.autograd.backward(total)
        total = total.detach()
        for part, labels in zip(torch.split(features, rows), torch.split(target, rows), strict=True):
            loss = kind.loss(torch.addmm(bias, part, weight), labels) / count
            torch.autograd.backward(loss)
            total += loss.detach()
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return LinearMap(weight.detach(), bias.detach())
