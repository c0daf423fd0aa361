# B batch, N tokens, K kept tokens, M target blocks, Kt target tokens, D width
from torch import Tensor

from jepa_lightning.types import Masks


def take_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """Gathers tokens by index.

    Args:
        tokens: ``[B, N, D]``.
        indices: int64 ``[B, K]``.

    Returns:
        ``[B, K, D]``.
    """
    return tokens.gather(1, indices.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def blocks_of(tokens: Tensor, masks: Masks) -> Tensor:
    """The target blocks of all tokens.

    Args:
        tokens: ``[B, N, D]``.
        masks: of the batch, with M target blocks a sample.

    Returns:
        ``[B, M, Kt, D]``.
    """
    return take_tokens(tokens, masks.target.flatten(1)).reshape(*masks.target.shape, -1)
