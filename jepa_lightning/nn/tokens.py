# B batch, N tokens, K kept tokens, M target blocks, Kt target tokens, D width
from torch import Tensor

from jepa_lightning.types import Masks


def take_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """Gathers tokens by index: ``[B, N, D]`` at int64 ``[B, K]`` gives ``[B, K, D]``."""
    return tokens.gather(1, indices.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


def blocks_of(tokens: Tensor, masks: Masks) -> Tensor:
    """The target blocks of ``[B, N, D]`` tokens: ``[B, M, Kt, D]``."""
    return take_tokens(tokens, masks.target.flatten(1)).reshape(*masks.target.shape, -1)
