# B batch, N tokens, K kept tokens, D width
from torch import Tensor


def take_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """Gathers tokens by index: ``[B, N, D]`` at int64 ``[B, K]`` gives ``[B, K, D]``."""
    return tokens.gather(1, indices.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))
