# B batch, C channels, T H W frames, height, width
"""Energies of pairs: given ones, and all of a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from jepa_lightning.energy.sides import Energetic, Sides, energy_of, has_sides
from jepa_lightning.types import Batch, Masks


def pair_energy(module: Energetic, contexts: Tensor, targets: Tensor, masks: Sequence[Masks] = ()) -> Tensor:
    """Energy of each context with the target in its row.

    As in ``pairwise_energy``, the module's mode and gradients are left as they are.

    Args:
        module: any method.
        contexts: views ``[B, C, H, W]`` or ``[B, C, T, H, W]``.
        targets: views of the same number; the same views give the energies of true pairs.
        masks: which tokens are context and which are target, for methods with masks.

    Returns:
        ``[B]``.

    Raises:
        ValueError: if there are not as many targets as contexts.

    Example:
        >>> import torch
        >>> from jepa_lightning import SimCLR
        >>> from jepa_lightning.energy import pair_energy
        >>> module = SimCLR("vit_tiny", depth=1, image_size=32, patch_size=8).eval()
        >>> images = torch.rand(4, 3, 32, 32)
        >>> pair_energy(module, images, images).abs().max() < 1e-5  # a view is compatible with itself
        tensor(True)
    """
    _check_sides(contexts, targets)
    return module.energy(Batch([contexts, targets], tuple(masks)))


def pairwise_energy(module: Energetic, batch: Batch) -> Tensor:
    """Energy of every context of a batch with every target: row i, column j is context i with target j.

    The diagonal is ``module.energy(batch)``, the true pairs; all others are foreign. The methods of this package encode
    every context and every target once; a module that defines ``energy`` alone computes it B times, with its targets
    in another order each time. Target j is compared where the masks of context i ask for it.

    The module's mode and gradients are left as they are, as in ``energy``: to look at a module that trains, call it
    under ``torch.no_grad()`` and ``jepa_lightning.features.eval_mode(module)``.

    Args:
        module: any method.
        batch: what the module's pipeline gives. As in ``energy``, contexts are those of the first view and targets
            those of the last.

    Returns:
        ``[B, B]``.

    Raises:
        ValueError: if the batch is empty, or its first and last view are not of the same number of samples.

    Example:
        >>> import torch
        >>> from jepa_lightning import IJEPA
        >>> from jepa_lightning.energy import pairwise_energy
        >>> module = IJEPA("vit_tiny", depth=1, image_size=64, patch_size=8, predictor_depth=1, predictor_dim=96)
        >>> pipeline = module.pipeline()
        >>> images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
        >>> batch = pipeline.collate([pipeline.eval_transform(image) for image in images])
        >>> energies = pairwise_energy(module, batch)
        >>> torch.allclose(energies.diagonal(), module.energy(batch), atol=1e-5)
        True
    """
    size = _check_sides(batch.views[0], batch.views[-1])
    if has_sides(module):
        context, target = module.sides(batch)
        shifted = [energy_of(Sides(context, target.roll(-s, 0)), batch.masks, module.distance) for s in range(size)]
    else:
        *others, last = batch.views
        kept = others or [last]
        shifted = [module.energy(batch._replace(views=[*kept, last.roll(-shift, 0)])) for shift in range(size)]
    by_shift = torch.stack(shifted, dim=1)  # [B, B], row i, column s: context i with target i + s
    rows = torch.arange(size, device=by_shift.device)
    return by_shift.gather(1, (rows - rows[:, None]) % size)


def _check_sides(contexts: Tensor, targets: Tensor) -> int:
    """Number of the contexts, which the targets would otherwise be repeated for in some distances."""
    if len(contexts) != len(targets) or not len(contexts):
        raise ValueError(
            f"energies are of one context and one target each, got {len(contexts)} contexts and {len(targets)} targets."
        )
    return len(contexts)


def true_and_foreign(energies: Tensor) -> tuple[Tensor, Tensor]:
    """The true pairs of a batch, and the foreign ones.

    Args:
        energies: ``[B, B]``, of ``pairwise_energy``.

    Returns:
        The diagonal, ``[B]``, and all else, ``[B * (B - 1)]``.

    Raises:
        ValueError: if the matrix is not square, or of a single pair.

    Example:
        >>> import torch
        >>> from jepa_lightning.energy import auroc, true_and_foreign
        >>> auroc(*true_and_foreign(torch.tensor([[0.1, 0.5], [0.6, 0.2]])))
        1.0
    """
    if energies.ndim != 2 or len(energies) != energies.shape[1] or len(energies) < 2:
        raise ValueError(f"energies of all pairs are [B, B] with B of 2 or more, got {list(energies.shape)}.")
    same = torch.eye(len(energies), dtype=torch.bool, device=energies.device)
    return energies.diagonal(), energies[~same]
