# B batch, N tokens, D width, C classes
"""A classifier of tokens that are pooled by attention, as V-JEPA is evaluated."""

from torch import Tensor, nn

from jepa_lightning.nn.attentive_pooler import AttentivePooler, Generation


class AttentiveClassifier(nn.Module):
    """An attentive pooler of one query and a linear layer behind it.

    Args:
        width: D.
        classes: C.
        depth: blocks of the pooler, one of which is the cross-attention.
        heads: attention heads of each block.
        generation: 1 or 2, the order of the pooler's blocks, see ``AttentivePooler``.
        eps: of the norms; the reference has 1e-5, ``transformers`` 1e-6.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import AttentiveClassifier
        >>> AttentiveClassifier(48, classes=10, depth=2, heads=3, generation=2)(torch.rand(2, 16, 48)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, width: int, classes: int, depth: int, heads: int, generation: Generation, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.pooler = AttentivePooler(width, 1, depth, heads, generation, eps)
        self.linear = nn.Linear(width, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens ``[B, N, D]`` to logits ``[B, C]``."""
        logits: Tensor = self.linear(self.pooler(tokens)[:, 0])
        return logits
