# B batch of one rank, P prototypes, V views
"""Self-distillation: a student's assignment of an image to prototypes follows a teacher's from another view."""

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from jepa_lightning.distributed import world_size


def distillation_loss(student: list[Tensor], teacher: list[Tensor], temperature: float = 0.1) -> Tensor:
    """Cross-entropy of the student's assignment of each view with the teacher's of every other view.

    Source: DINO, arXiv 2104.14294, equation 3: the mean over pairs of views that are not the same one.

    Args:
        student: ``[B, P]`` logits of each view; the first are of the teacher's views, in the same order.
        teacher: ``[B, P]`` assignments of each global view, which sum to 1.
        temperature: divides the student's logits.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if there is no pair of different views, the shapes differ, or the temperature is not above 0.
    """
    if temperature <= 0:
        raise ValueError(f"distillation_loss needs a temperature above 0, got {temperature}.")
    if len({tuple(view.shape) for view in [*student, *teacher]}) != 1 or len(student) < 2 or not teacher:
        raise ValueError(
            "distillation_loss takes two or more views of one shape [B, P], got "
            f"{[tuple(view.shape) for view in student]} and {[tuple(view.shape) for view in teacher]}."
        )
    predicted = [F.log_softmax(view.float() / temperature, dim=1) for view in student]
    terms = [
        -(target.detach() * log_probability).sum(dim=1).mean()
        for i, target in enumerate(teacher)
        for j, log_probability in enumerate(predicted)
        if i != j
    ]
    return torch.stack(terms).mean()


@torch.no_grad()
def sinkhorn_knopp(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Assignments in which every prototype takes an equal share of the samples of all ranks.

    Source: SwAV, arXiv 2006.09882, section 3.1.

    Args:
        logits: ``[B, P]`` of the teacher.
        temperature: divides them.
        iterations: rounds of normalizing prototypes, then samples.

    Returns:
        ``[B, P]`` in float32, rows that sum to 1.

    Raises:
        ValueError: if there is no round, or the temperature is not above 0.
    """
    if temperature <= 0 or iterations < 1:
        raise ValueError(
            f"sinkhorn_knopp needs a temperature above 0 and a round, got {temperature} and {iterations} rounds."
        )
    scaled = logits.float() / temperature
    for _ in range(iterations):
        scaled = scaled - _log_weights(scaled)
        scaled = scaled.log_softmax(dim=1)
    return scaled.exp()


class Center(nn.Module):
    """The moving mean of a teacher's logits, over the samples of all ranks.

    Taken from the logits, it keeps one prototype from having all images. Source: DINO, equation 4.

    Args:
        width: P.
        momentum: weight of the old center.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import Center
        >>> center = Center(3, momentum=0.5)
        >>> center(torch.ones(4, 3))
        >>> center.value
        tensor([0.5000, 0.5000, 0.5000])
    """

    def __init__(self, width: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(width))
        self.value: Tensor

    @torch.no_grad()
    def forward(self, logits: Tensor) -> None:
        """Moves towards the mean of ``[B, P]`` logits."""
        mean = logits.float().mean(dim=0)
        _reduce(mean, dist.ReduceOp.SUM)
        self.value.lerp_(mean / world_size(), 1 - self.momentum)


def _log_weights(scaled: Tensor) -> Tensor:
    """Logarithm of each prototype's sum of exponentials over the samples of all ranks, ``[P]``.

    Logarithms, because one sample's exponentials may all be too small for float32 beside another's.
    """
    top = scaled.amax(dim=0)
    _reduce(top, dist.ReduceOp.MAX)
    weights = torch.exp(scaled - top).sum(dim=0)
    _reduce(weights, dist.ReduceOp.SUM)
    return top + weights.log()


def _reduce(tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> None:
    if world_size() > 1:
        dist.all_reduce(tensor, operation)
