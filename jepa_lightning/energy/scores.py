# B batch, N tokens or windows
"""From the energies of the parts of a sample to one score of how unexpected it is."""

from typing import Literal, get_args

from torch import Tensor

Score = Literal["mean", "max", "top", "contrast"]


def anomaly_score(energies: Tensor, how: Score = "top") -> Tensor:
    """A number for each sample, higher where it is less expected.

    Args:
        energies: ``[B, N]``, of the tokens of an image (``energy_map``), or of the windows of a film
            (``jepa_lightning.evaluation.surprise``).
        how: their ``mean``, for what is unusual everywhere; their ``max``, for one unusual part; the mean of the
            ``top`` tenth, of one part at least, which a single noisy token moves less; or the ``contrast``, the
            ``top`` less the median, for parts unlike the rest of their own sample.

    Returns:
        ``[B]``.

    Raises:
        ValueError: if the energies are not ``[B, N]`` with N of 1 or more, or there is no such score.

    Example:
        >>> import torch
        >>> from jepa_lightning.energy import anomaly_score
        >>> anomaly_score(torch.tensor([[1.0, 2.0, 6.0], [4.0, 4.0, 4.0]]), "mean")
        tensor([3., 4.])
    """
    if energies.ndim != 2 or not energies.shape[1]:
        raise ValueError(f"anomaly_score takes energies [B, N] of one part or more, got {list(energies.shape)}.")
    if how not in get_args(Score):
        raise ValueError(f"there is no score '{how}': choose one of {', '.join(get_args(Score))}.")
    if how == "mean":
        return energies.mean(dim=1)
    number = 1 if how == "max" else max(1, round(energies.shape[1] / 10))
    top = energies.topk(number, dim=1).values.mean(dim=1)
    return top - energies.median(dim=1).values if how == "contrast" else top
