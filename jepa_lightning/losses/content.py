# B batch, K kept tokens, N positions of the grid, D width
"""Content of tokens: what is left of them when the mean of their position is taken away.

A predictor knows positions without looking. Where they explain most of the tokens' variance, the prediction loss falls
while nothing is learned about images; a statistic of the batch on what is left does not let that happen.
"""

import torch
from torch import Tensor

from jepa_lightning.distributed import sum_over_ranks
from jepa_lightning.losses.samples import check_samples


def token_content(tokens: Tensor, positions: Tensor, num_positions: int, gather: bool = False) -> Tensor:
    """Tokens less the mean, over the images that kept it, of the tokens at the same position.

    Args:
        tokens: ``[B, K, D]``.
        positions: int64 ``[B, K]``, indices into the grid.
        num_positions: N.
        gather: take the means over the images of all ranks; K may differ between them.

    Returns:
        ``[B * K, D]`` in float32; 0 for a token whose position no other image kept.

    Raises:
        ValueError: if there is a single image, or another shape.
    """
    check_samples("token_content", tokens, axes="BKD", gather=gather)
    values, places = tokens.float().flatten(0, 1), positions.flatten()
    # torch.bincount would make the host wait for the device
    sums = torch.zeros(num_positions, values.shape[1], device=values.device).index_add(0, places, values)
    counts = torch.zeros(num_positions, 1, device=values.device).index_add(0, places, torch.ones_like(values[:, :1]))
    if gather:
        joint = sum_over_ranks(torch.cat([sums, counts], dim=1))
        sums, counts = joint[:, :-1], joint[:, -1:]
    return values - (sums / counts.clamp_min(1))[places]
