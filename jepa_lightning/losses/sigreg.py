# B batch of one rank, G joint batch of all ranks, D width, S directions, K knots, V views
"""Sketched isotropic Gaussian regularization: features should look standard normal from every direction.

Source: LeJEPA, arXiv 2511.08544.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.distributed import sum_over_ranks
from jepa_lightning.losses.samples import check_samples


def sigreg_loss(
    features: Tensor | Sequence[Tensor],
    directions: Tensor,
    num_knots: int = 17,
    max_t: float = 3.0,
    gather: bool = False,
) -> Tensor:
    """Epps-Pulley statistic of the features along each direction, averaged over directions.

    For the projections x of a batch it is ``G * integral |mean exp(i t x) - exp(-t^2/2)|^2 exp(-t^2/2) dt`` over
    t from -max_t to max_t. The integrand is even, so the trapezoid rule runs over the knots of [0, max_t] and is
    doubled. The defaults are the authors' code; the paper's algorithm 1 (17 knots over [-5, 5]) is ``num_knots=9,
    max_t=5``. The factor G makes the value for standard normal features about 1.05 at every batch size.

    Args:
        features: ``[B, D]``, or several views of that shape, whose statistics are averaged.
        directions: ``[D, S]``, columns of length 1.
        num_knots: K, values of t from 0 to ``max_t``.
        max_t: where the integral is cut.
        gather: over the samples of all ranks, G, of which each may have another number; without it G is B.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if the shapes do not fit, or there are fewer than 2 knots.
    """
    views = [features] if isinstance(features, Tensor) else features
    for view in views:
        check_samples("sigreg_loss", view, least=1)
        if directions.ndim != 2 or len(directions) != view.shape[1]:
            raise ValueError(
                f"directions of shape {tuple(directions.shape)} do not fit features of shape {tuple(view.shape)}: "
                "give [D, S]."
            )
    if num_knots < 2:
        raise ValueError(f"sigreg_loss needs at least 2 knots to integrate over, got {num_knots}.")
    knots = torch.linspace(0, max_t, num_knots, device=directions.device)
    sums = torch.stack([_sums(view, directions, knots) for view in views])  # [V, 2, S, K]
    number: Tensor | int = len(views[0])
    if gather:
        own = torch.full((1,), len(views[0]), device=sums.device, dtype=sums.dtype)
        joint = sum_over_ranks(torch.cat([sums.flatten(), own]), same_gradient=True)
        sums, number = joint[:-1].view_as(sums), joint[-1].detach()
    real, imaginary = (sums / number).unbind(1)
    normal = torch.exp(-knots.square() / 2)
    gap = (real - normal).square() + imaginary.square()
    return number * 2 * torch.trapezoid(gap * normal, knots).mean()


def _sums(features: Tensor, directions: Tensor, knots: Tensor) -> Tensor:
    """Cosines and sines of the projections times each knot, summed over the batch: ``[2, S, K]``."""
    # autocast would project in half precision, and a knot multiplies the error
    with torch.autocast(features.device.type, enabled=False):
        angles = (features.float() @ directions.float())[..., None] * knots
    return torch.stack([angles.cos().sum(dim=0), angles.sin().sum(dim=0)])


class SIGReg(nn.Module):
    """``weight * sigreg_loss`` along fresh random directions at every training step.

    The directions depend on the count of draws alone. It is in the state dict, so a resumed run continues with the same
    directions, and all ranks use the same. In eval mode the count stays as it is.

    Args:
        num_directions: S.
        num_knots: K.
        max_t: where the integral is cut.
        weight: factor on the loss.
        gather: take the statistic over the samples of all ranks instead of those of this rank.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import SIGReg
        >>> samples = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
        >>> loss = SIGReg(num_directions=64)
        >>> loss(samples) < loss(10 * samples)  # standard normal samples have a low penalty
        tensor(True)
    """

    def __init__(
        self,
        num_directions: int = 256,
        num_knots: int = 17,
        max_t: float = 3.0,
        weight: float = 1.0,
        gather: bool = False,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.num_directions = num_directions
        self.num_knots = num_knots
        self.max_t = max_t
        self.gather = gather
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        self.draws: Tensor
        # the same number, which the host can read without waiting for the device
        self._draws = 0
        self.register_load_state_dict_post_hook(_read_draws)  # type: ignore[no-untyped-call]

    def forward(self, *views: Tensor) -> Tensor:
        """Penalty of ``[B, D]`` features, a scalar; of several views the mean, along the same directions."""
        directions = self._directions(views[0])
        if self.training:
            self._draws += 1
            self.draws += 1
        return self.weight * sigreg_loss(views, directions, self.num_knots, self.max_t, self.gather)

    def _directions(self, features: Tensor) -> Tensor:
        """Columns of length 1, ``[D, S]``."""
        # drawn on the CPU: generators differ between devices
        generator = torch.Generator().manual_seed(self._draws)
        directions = torch.randn(features.shape[-1], self.num_directions, generator=generator)
        if features.is_cuda and torch.cuda.is_available():
            directions = directions.pin_memory()  # the host would wait for a copy of pageable memory
        return F.normalize(directions.to(features.device, non_blocking=True), dim=0)


def _read_draws(module: nn.Module, incompatible_keys: Any) -> None:
    """Takes over the count of a state dict that has been loaded."""
    assert isinstance(module, SIGReg)
    module._draws = int(module.draws)
