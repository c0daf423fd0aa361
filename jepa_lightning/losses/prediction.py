# B batch, D width
"""How far predicted representations are from their targets."""

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

Distance = Literal["smooth_l1", "l1", "l2", "cosine"]


def prediction_distance(
    predicted: Tensor, target: Tensor, distance: Distance = "smooth_l1", exponent: float = 1.0
) -> Tensor:
    """Distance of each sample's predictions to its targets, in float32.

    Args:
        predicted: ``[B, ..., D]``.
        target: ``[B, ..., D]``.
        distance: ``smooth_l1`` with beta 1 (I-JEPA's code), ``l1`` (V-JEPA), ``l2``, which is the squared difference
            (I-JEPA's paper), or ``cosine``, which is 1 - cos over D (BYOL's 2 - 2 cos is twice that).
        exponent: p of ``l1``, which is then ``|difference|^p / p``, as in V-JEPA's code; the others have none.

    Returns:
        ``[B]``, the mean over all other axes.

    Raises:
        ValueError: if the shapes differ or the distance is unknown.
    """
    if predicted.shape != target.shape:
        raise ValueError(
            f"predictions of shape {tuple(predicted.shape)} do not fit targets of shape {tuple(target.shape)}."
        )
    predicted, target = predicted.float(), target.float()
    if distance == "smooth_l1":
        each = F.smooth_l1_loss(predicted, target, reduction="none", beta=1.0)
    elif distance == "l1":
        each = F.l1_loss(predicted, target, reduction="none") ** exponent / exponent
    elif distance == "l2":
        each = F.mse_loss(predicted, target, reduction="none")
    elif distance == "cosine":
        each = 1 - F.cosine_similarity(predicted, target, dim=-1)
    else:
        raise ValueError(_unknown(distance))
    return each.reshape(len(each), -1).mean(dim=1)


def prediction_loss(predicted: Tensor, target: Tensor, distance: Distance = "smooth_l1") -> Tensor:
    """The mean of ``prediction_distance`` over the batch.

    Args:
        predicted: ``[B, ..., D]``.
        target: ``[B, ..., D]``.
        distance: as in ``prediction_distance``.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if the shapes differ or the distance is unknown.
    """
    return prediction_distance(predicted, target, distance).mean()


class PredictionLoss(nn.Module):
    """``prediction_loss`` as a module.

    Args:
        distance: smooth_l1, l1, l2 or cosine.

    Raises:
        ValueError: if the distance is unknown.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import PredictionLoss
        >>> loss = PredictionLoss("l1")
        >>> loss(torch.zeros(2, 3), torch.ones(2, 3))
        tensor(1.)
    """

    def __init__(self, distance: Distance = "smooth_l1") -> None:
        super().__init__()
        if distance not in get_args(Distance):
            raise ValueError(_unknown(distance))
        self.distance: Distance = distance

    def forward(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Loss of ``[B, ..., D]`` predictions against targets of the same shape: a scalar."""
        return prediction_loss(predicted, target, self.distance)


def _unknown(distance: str) -> str:
    return f"there is no distance '{distance}': choose one of {', '.join(get_args(Distance))}."
