# B batch, D width
"""InfoNCE of any energy: contrast as the shaping of an energy landscape."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.losses.samples import check_samples


def info_nce(
    energy: Tensor | Callable[[Tensor, Tensor], Tensor],
    contexts: Tensor | None = None,
    targets: Tensor | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Cross-entropy of each context's own target among all targets of the batch, by an energy that is low for pairs.

    With ``E[i, j]`` the energy of context i with target j and ``T`` the temperature it is the mean over i of

        E[i, i] / T + log(sum over j of exp(-E[i, j] / T)),

    which is known by three names:

    - InfoNCE (van den Oord et al., arXiv 1807.03748, equation 4), whose critic is ``f = exp(-E / T)``: it estimates the
      ratio of the joint density of a pair to the product of the two densities.
    - The negative log-likelihood of an energy-based model, over the answers in the batch (LeCun et al., "A Tutorial on
      Energy-Based Learning", 2006, section 2.2.4): the first term pulls down the energy of the right answer; the
      second, minus the free energy over T, pushes up that of all, most of all where it is low.
    - Alignment and uniformity (Wang and Isola, arXiv 2005.10242): with ``E = -cos`` the terms are the two of their
      theorem 1 for a finite number of negatives.

    A constant that is added to a row of E changes nothing. So ``-cos``, ``1 - cos`` and half the squared distance of
    unit vectors are the same energy here, ``info_nce_loss`` is the case ``E = -cos``, and ``2 - 2 cos``, the energy of
    the two-view methods, has the same loss at twice the temperature. ``info_nce(E.T)`` contrasts the contexts of each
    target instead.

    Args:
        energy: of all pairs, ``[B, B]``, as ``jepa_lightning.energy.pairwise_energy`` gives it; or a function of B
            contexts and B targets to their energies ``[B]``, which is called once with all B * B pairs.
        contexts: ``[B, ...]``, for a function.
        targets: ``[B, ...]``, for a function.
        temperature: T, which divides the energies.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if the energies are not ``[B, B]`` or of a single pair, a function has no contexts and targets of
            one number, or the temperature is not finite and above 0.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import info_nce, info_nce_loss
        >>> queries, keys = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))
        >>> cosine = torch.nn.functional.cosine_similarity
        >>> loss = info_nce(lambda context, target: -cosine(context, target), queries, keys, temperature=0.2)
        >>> torch.allclose(loss, info_nce_loss(queries, keys, temperature=0.2))
        True
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"info_nce needs a finite temperature above 0, got {temperature}.")
    energies = energy if isinstance(energy, Tensor) else _all_pairs(energy, contexts, targets)
    if energies.ndim != 2 or len(energies) != energies.shape[1]:
        raise ValueError(f"info_nce takes the energies of all pairs, [B, B], got {list(energies.shape)}.")
    if isinstance(energy, Tensor) and (contexts is not None or targets is not None):
        raise ValueError("info_nce takes contexts and targets for a function, and was given energies.")
    check_samples("info_nce", energies)
    return F.cross_entropy(-energies.float() / temperature, torch.arange(len(energies), device=energies.device))


def _all_pairs(energy: Callable[[Tensor, Tensor], Tensor], contexts: Tensor | None, targets: Tensor | None) -> Tensor:
    """Energies ``[B, B]`` from a function of pairs."""
    if contexts is None or targets is None or len(contexts) != len(targets):
        counts = [None if side is None else len(side) for side in (contexts, targets)]
        raise ValueError(f"info_nce with a function takes contexts and targets of one number, got {counts}.")
    size = len(contexts)
    found = energy(contexts.repeat_interleave(size, 0), targets.repeat(size, *[1] * (targets.ndim - 1)))
    if found.shape != (size**2,):
        raise ValueError(
            f"the energy of {size**2} pairs is [{size**2}], and the function returned {list(found.shape)}."
        )
    return found.reshape(size, size)
