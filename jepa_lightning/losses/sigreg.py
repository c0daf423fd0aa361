# B batch, D width, S directions, K knots
"""Sketched isotropic Gaussian regularisation: features should look standard normal from every direction.

Source: LeJEPA, arXiv 2511.08544.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.losses.samples import check_samples


def sigreg_loss(features: Tensor, directions: Tensor, num_knots: int = 17, max_t: float = 3.0) -> Tensor:
    """Epps-Pulley statistic of the features along each direction, averaged over directions.

    For the projections x of a batch it is ``B * integral |mean exp(i t x) - exp(-t^2/2)|^2 exp(-t^2/2) dt`` over
    t from -max_t to max_t. The integrand is even, so the trapezoid rule runs over the knots of [0, max_t] and is
    doubled. The defaults are the authors' code; the paper's algorithm 1 (17 knots over [-5, 5]) is ``num_knots=9,
    max_t=5``. The factor B makes the value for standard normal features about 1.05 at every batch size.

    It sees the samples of its own process; for a joint batch over ranks, gather the features first.

    Args:
        features: ``[B, D]``.
        directions: ``[D, S]``, columns of length 1.
        num_knots: K, values of t from 0 to ``max_t``.
        max_t: where the integral is cut.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if the shapes do not fit, or there are fewer than 2 knots.
    """
    check_samples("sigreg_loss", features, least=1)
    if directions.ndim != 2 or len(directions) != features.shape[1]:
        raise ValueError(
            f"directions of shape {tuple(directions.shape)} do not fit features of shape {tuple(features.shape)}: "
            "give [D, S]."
        )
    if num_knots < 2:
        raise ValueError(f"sigreg_loss needs at least 2 knots to integrate over, got {num_knots}.")
    knots = torch.linspace(0, max_t, num_knots, device=features.device)
    normal = torch.exp(-knots.square() / 2)
    # autocast would project in half precision, and a knot multiplies the error
    with torch.autocast(features.device.type, enabled=False):
        angles = (features.float() @ directions.float())[..., None] * knots
    real, imaginary = angles.cos().mean(dim=0), angles.sin().mean(dim=0)
    gap = (real - normal).square() + imaginary.square()
    return len(features) * 2 * torch.trapezoid(gap * normal, knots).mean()


class SIGReg(nn.Module):
    """``weight * sigreg_loss`` along fresh random directions at every training step.

    The directions depend on the count of draws alone. It is in the state dict, so a resumed run goes on with the same
    directions, and all ranks use the same. In eval mode the count stands still.

    Args:
        num_directions: S.
        num_knots: K.
        max_t: where the integral is cut.
        weight: factor on the loss.
    """

    def __init__(self, num_directions: int = 256, num_knots: int = 17, max_t: float = 3.0, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.num_directions = num_directions
        self.num_knots = num_knots
        self.max_t = max_t
        self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
        self.draws: Tensor

    def forward(self, *views: Tensor) -> Tensor:
        """Penalty of ``[B, D]`` features, a scalar; of several views the mean, along the same directions."""
        # drawn on the CPU: generators differ between devices
        generator = torch.Generator().manual_seed(int(self.draws))
        directions = torch.randn(views[0].shape[-1], self.num_directions, generator=generator)
        if self.training:
            self.draws += 1
        directions = F.normalize(directions, dim=0).to(views[0].device)
        each = [sigreg_loss(features, directions, self.num_knots, self.max_t) for features in views]
        return self.weight * torch.stack(each).mean()
