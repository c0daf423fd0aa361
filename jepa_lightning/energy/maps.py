# B batch, C channels, T H W frames, height, width, M target blocks, Kt target tokens, N tokens of the grid, D width
"""Energy of each token: what in an input is unexpected, and where."""

from typing import Any

import torch
from torch import Tensor

from jepa_lightning.energy.sides import Sided, has_sides
from jepa_lightning.features import eval_mode
from jepa_lightning.masking import covering_masks
from jepa_lightning.nn import blocks_of
from jepa_lightning.types import Batch, Masks


@torch.no_grad()
def energy_map(module: Any, views: Batch | Tensor) -> Tensor:
    """Prediction error of each token, as a target that is predicted from tokens around it.

    Masks are ``covering_masks`` of the module's grid, the same at each call, so that every token is a target at least
    once; a token that is one in several masks has the mean. The module is in eval mode meanwhile.

    Args:
        module: a method with masks: I-JEPA, V-JEPA, MAE, or a subclass.
        views: images ``[B, C, H, W]`` or clips ``[B, C, T, H, W]``, as the module's ``preprocess`` gives them; or a
            batch, of which the contexts are from the first view and the targets from the last. Its masks are not used.

    Returns:
        float32 ``[B, N]``, in the order of the grid: reshape it to ``[B, *token_grid(module)]``.

    Raises:
        ValueError: if the method has no energy of tokens, because it compares whole views or defines ``energy`` alone;
            or if there is no sample.

    Example:
        >>> import torch
        >>> from jepa_lightning import IJEPA
        >>> from jepa_lightning.energy import energy_map, token_grid
        >>> module = IJEPA("vit_tiny", depth=1, image_size=64, patch_size=8, predictor_depth=1, predictor_dim=96)
        >>> energy_map(module, torch.randn(2, 3, 64, 64)).reshape(2, *token_grid(module)).shape
        torch.Size([2, 8, 8])
    """
    samplers, sided = _samplers(module), has_sides(module)
    if not sided:
        raise ValueError(
            f"{type(module).__name__} defines energy without sides and distance, so the energy of a token is not "
            "known: write these two methods, see jepa_lightning.energy.Sided."
        )
    seen = views.views if isinstance(views, Batch) else [views]
    if not len(seen[0]):
        raise ValueError("energy_map takes views of one sample or more, got none.")
    covers = [covering_masks(sampler) for sampler in samplers]
    with eval_mode(module):
        found = [
            _token_energies(module, seen, tuple(cover[step % len(cover)] for cover in covers))
            for step in range(max(map(len, covers)))
        ]
    index = torch.cat([index for _, index in found], dim=1)
    energies = torch.cat([energies for energies, _ in found], dim=1)
    number = int(index.max()) + 1
    total = energies.new_zeros(len(energies), number)
    counts = total.scatter_add(1, index, torch.ones_like(energies))
    return total.scatter_add(1, index, energies) / counts


def token_grid(module: Any) -> tuple[int, ...]:
    """Tokens along each axis of a module's maps: rows and columns, or frames, rows and columns.

    Args:
        module: a method with masks.

    Raises:
        ValueError: if the method compares whole views.

    Example:
        >>> from jepa_lightning import VJEPA
        >>> from jepa_lightning.energy import token_grid
        >>> token_grid(VJEPA("vit_tiny", image_size=32, patch_size=8, num_frames=8, depth=1, predictor_depth=1))
        (4, 4, 4)
    """
    return tuple(_samplers(module)[0].grid_size)


def _samplers(module: Any) -> tuple[Any, ...]:
    if not hasattr(module, "pipeline"):
        raise ValueError(f"{type(module).__name__} has no energy of tokens: it is no JEPAModule.")
    samplers: tuple[Any, ...] = module.pipeline().collate.masks
    if not samplers:
        raise ValueError(
            f"{type(module).__name__} compares whole views, so there is no energy of each token: use pairwise_energy, "
            "or a method that predicts masked tokens, such as IJEPA, VJEPA or MAE."
        )
    return samplers


def _token_energies(module: Sided, views: list[Tensor], cover: tuple[Masks, ...]) -> tuple[Tensor, Tensor]:
    """Energies of the targets of all masks, float32 ``[B, K]``, and where they stand, int64 ``[B, K]``."""
    size, device = len(views[0]), views[0].device
    masks = tuple(
        Masks(kept.context.to(device).expand(size, -1), kept.target.to(device).expand(size, -1, -1)) for kept in cover
    )
    context, target = module.sides(Batch(views, masks))
    energies = []
    for predicted, kind in zip(context, masks, strict=False):
        # each token stands alone as a sample with one target
        pair = (tokens.flatten(0, 2)[:, None, None] for tokens in (predicted, blocks_of(target, kind)))
        energies.append(module.distance(*pair).float().reshape(size, -1))
    index = [kind.target.flatten(1) for kind in masks[: len(energies)]]
    return torch.cat(energies, dim=1), torch.cat(index, dim=1)
