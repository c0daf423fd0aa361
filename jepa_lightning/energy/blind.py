# B batch, M target blocks, Kt target tokens, D width, P projection width
"""The energy of a prediction that has looked at nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from jepa_lightning.energy.sides import Distance, Energetic, Sides, has_sides
from jepa_lightning.nn import blocks_of
from jepa_lightning.types import Batch, Masks


def blind_energy(module: Energetic, batch: Batch) -> Tensor:
    """Energy of the targets of a batch if all of them were predicted as one and the same: as their mean.

    The mean is taken over images, and over all target blocks and positions where there are masks, for each kind of mask
    on its own: a vector ``[D]`` or ``[P]``. It is the best constant under squared distances, and near to it under the
    others. A predictor whose energies are not below these knows neither the image nor the position.

    The module's mode and gradients are left as they are, as in ``energy``.

    Args:
        module: any method.
        batch: what the module's pipeline gives; targets are those of the last view.

    Returns:
        ``[B]``, to be compared with ``module.energy(batch)``.

    Raises:
        ValueError: if the module defines ``energy`` alone, so that its targets are not known.

    Example:
        >>> import torch
        >>> from jepa_lightning import IJEPA
        >>> from jepa_lightning.energy import blind_energy
        >>> module = IJEPA("vit_tiny", depth=1, image_size=64, patch_size=8, predictor_depth=1, predictor_dim=96)
        >>> pipeline = module.pipeline()
        >>> images = torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8)
        >>> batch = pipeline.collate([pipeline.eval_transform(image) for image in images])
        >>> bool((module.energy(batch) > blind_energy(module, batch)).all())  # nothing has been learned yet
        True
    """
    if not has_sides(module):
        raise ValueError(
            f"{type(module).__name__} defines energy without sides and distance, so its targets are not known: write "
            "these two methods, see jepa_lightning.energy.Sided."
        )
    return blind_energy_of(module.sides(batch), batch.masks, module.distance)


def blind_energy_of(sides: Sides, masks: Sequence[Masks], distance: Distance) -> Tensor:
    """The same of sides that are known already.

    Args:
        sides: of a batch.
        masks: the batch's, of the contexts.
        distance: the module's.

    Returns:
        ``[B]``.
    """
    context, tokens = sides
    targets = [blocks_of(tokens, kind) for kind in masks[: len(context)]] or [tokens]
    means = [target.mean(dim=tuple(range(target.ndim - 1)), keepdim=True).expand_as(target) for target in targets]
    return torch.stack([distance(*pair) for pair in zip(means, targets, strict=True)]).mean(dim=0)
