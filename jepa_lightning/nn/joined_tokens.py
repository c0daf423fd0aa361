# B batch, N tokens, D width, K width of the vector
"""All tokens of an image as one vector, which keeps where things are."""

from torch import Tensor, nn


class JoinedTokens(nn.Module):
    """A linear layer on all tokens side by side: ``[B, N, D]`` to ``[B, 1, K]``.

    The mean of tokens has lost which of them saw what. Each token is normalized by itself, without weights.

    Args:
        tokens: N.
        width: D.
        out: K.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import JoinedTokens
        >>> JoinedTokens(16, width=48, out=8)(torch.rand(2, 16, 48)).shape
        torch.Size([2, 1, 8])
    """

    def __init__(self, tokens: int, width: int, out: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.linear = nn.Linear(tokens * width, out)

    def forward(self, x: Tensor) -> Tensor:
        """The vector, as a single token.

        Raises:
            ValueError: if there are more or fewer tokens than it was built for.
        """
        if x.shape[1] != self.tokens:
            raise ValueError(
                f"an image has {x.shape[1]} tokens, and the layer was built for {self.tokens}: give images of the size "
                "that the module was built for."
            )
        joined: Tensor = self.linear(self.norm(x).flatten(1))
        return joined[:, None]
