# B batch, N tokens, D width
"""Measures of how much representations have collapsed. They have no gradient and need at least 2 samples."""

import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.losses.samples import check_samples

# the least that a sum is divided by: features that are all 0 then have rank 1 and share 0, not NaN
_TINY = torch.finfo(torch.float32).tiny


@torch.no_grad()
def rankme(features: Tensor) -> Tensor:
    """Exponential of the entropy of the singular values, normalized to sum 1, of the uncentered features.

    Source: RankMe, arXiv 2210.02885, with its 1e-7 added to each share.

    Args:
        features: ``[B, D]``.

    Returns:
        A scalar from 1 (one direction, or all zero) to min(B, D); NaN if a feature is not finite.

    Raises:
        ValueError: if there is a single sample, or another shape.
    """
    check_samples("rankme", features)
    return _rankme(_squared_singular_values(_double(features))).to(features.device)


@torch.no_grad()
def effective_rank(features: Tensor) -> Tensor:
    """Effective rank of the covariance matrix: exponential of the entropy of its eigenvalues, normalized to sum 1.

    The eigenvalues are the squared singular values of the centered features, so a common offset does not count and
    weak directions count less than in ``rankme``. Source: Roy and Vetterli, The effective rank, EUSIPCO 2007.

    Args:
        features: ``[B, D]``.

    Returns:
        A scalar from 1 (one direction, or constant) to min(B - 1, D); NaN if a feature is not finite.

    Raises:
        ValueError: if there is a single sample, or another shape.
    """
    check_samples("effective_rank", features)
    return _effective_rank(_squared_singular_values(_centered(features))).to(features.device)


@torch.no_grad()
def ranks(features: Tensor) -> tuple[Tensor, Tensor]:
    """``rankme`` and ``effective_rank`` of the same features, by one decomposition of both matrices.

    Args:
        features: ``[B, D]``.
    """
    check_samples("ranks", features)
    both = _squared_singular_values(torch.stack([_double(features), _centered(features)]))
    return _rankme(both[0]).to(features.device), _effective_rank(both[1]).to(features.device)


@torch.no_grad()
def feature_std(features: Tensor) -> Tensor:
    """Standard deviation of each feature over the batch (unbiased), averaged over D.

    Args:
        features: ``[B, D]``.

    Returns:
        A scalar, 0 for constant features.

    Raises:
        ValueError: if there is a single sample, or another shape.
    """
    check_samples("feature_std", features)
    return deviation(features)


def deviation(tensor: Tensor) -> Tensor:
    """Standard deviation over the first axis (unbiased), averaged over all others: a scalar.

    Equals ``Tensor.std`` over that axis, which takes several times as long on a CPU.

    Args:
        tensor: ``[B, ...]``.
    """
    values = tensor.float()
    # exact where samples are alike: the rounding of a large mean would count as deviation
    values = values - values[:1]
    return ((values - values.mean(dim=0)).square().sum(dim=0) / (len(values) - 1)).sqrt().mean()


@torch.no_grad()
def mean_cosine(features: Tensor) -> Tensor:
    """Cosine between two different samples, averaged over all pairs.

    Args:
        features: ``[B, D]``.

    Returns:
        A scalar from -1 / (B - 1) to 1; 1 when all samples point the same way.

    Raises:
        ValueError: if there is a single sample, or another shape.
    """
    check_samples("mean_cosine", features)
    units = F.normalize(features.float(), dim=1)
    # the squared length of the sum holds every pair twice and each sample with itself once
    pairs = units.sum(dim=0).square().sum() - units.square().sum()
    return pairs / (len(units) * (len(units) - 1))


@torch.no_grad()
def content_share(tokens: Tensor) -> Tensor:
    """Share of the tokens' variance that lies between images at the same position.

    The rest is explained by position alone, which a predictor knows without looking. Variances are sums of squares
    over B (and N), added up over D, so that the two parts sum to the whole; independent tokens have about 1 - 1/B.

    Args:
        tokens: ``[B, N, D]`` with the same positions in every image.

    Returns:
        A scalar from 0 (position explains everything, or the tokens are constant) to 1 (position explains nothing).

    Raises:
        ValueError: if there is a single image, or another shape.
    """
    check_samples("content_share", tokens, axes="BND")
    values = tokens.float()
    between_images = (values - values.mean(dim=0)).square().sum()
    total = (values - values.mean(dim=(0, 1))).square().sum()
    return between_images / total.clamp_min(_TINY)


def _double(features: Tensor) -> Tensor:
    # Apple's GPUs have no double precision
    return (features.cpu() if features.device.type == "mps" else features).double()


def _centered(features: Tensor) -> Tensor:
    values = _double(features)
    return values - values.mean(dim=0)


def _squared_singular_values(values: Tensor) -> Tensor:
    """Eigenvalues of the smaller Gram matrix, which take a fraction of the time of the singular values.

    In double precision: squares lose half of the digits.
    """
    gram = values @ values.mT if values.shape[-2] < values.shape[-1] else values.mT @ values
    if not gram.isfinite().all():
        return gram.new_full(gram.shape[:-1], torch.nan)  # there is no decomposition
    eigenvalues: Tensor = torch.linalg.eigvalsh(gram)
    return eigenvalues.clamp_min(0)


def _rankme(squares: Tensor) -> Tensor:
    singular = squares.sqrt()
    share = singular / singular.sum().clamp_min(_TINY) + 1e-7
    return torch.exp(-(share * share.log()).sum()).float()


def _effective_rank(squares: Tensor) -> Tensor:
    share = squares / squares.sum().clamp_min(_TINY)
    return torch.exp(torch.special.entr(share).sum()).float()
