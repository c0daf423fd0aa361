# B batch, N tokens, D width, K numbers of a label
"""The head of a classifier: outputs for each label, from pooled tokens or by attention."""

from collections.abc import Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn

from jepa_lightning.probing.attentive_heads import AttentiveHeads, heads_for
from jepa_lightning.probing.linear_heads import LinearHeads
from jepa_lightning.probing.target_scale import TargetScale

Head = Literal["linear", "attentive"]


class ClassifierHead(nn.Module):
    """Outputs for each label from the tokens of an encoder.

    Args:
        kind: ``linear`` is a linear layer on the mean of the tokens, behind a batch norm without weights; ``attentive``
            pools them by attention to a query for each label.
        width: D.
        sizes: numbers of each label by name: classes, tags or values.
        depth: blocks of the attentive pooler.
    """

    def __init__(self, kind: Head, width: int, sizes: Mapping[str, int], depth: int) -> None:
        super().__init__()
        self.kind, self.sizes = kind, dict(sizes)
        classes = list(sizes.values())
        self.heads: nn.Module = (
            LinearHeads(width, classes, torch.device("cpu"))
            if kind == "linear"
            else AttentiveHeads(width, classes, 1, depth, heads_for(width), 2, normalize=False)
        )
        # of values, as far as training has shown them: count, sum and sum of squares
        for number, size in enumerate(classes):
            self.register_buffer(f"sums_{number}", torch.zeros(3, size, dtype=torch.float64))

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Tokens ``[B, N, D]`` to outputs ``[B, K]`` by label; values are those of standardized ones."""
        found = self.heads(tokens.mean(dim=1) if self.kind == "linear" else tokens)[0]
        return dict(zip(self.sizes, found, strict=True))

    def scale(self, name: str) -> TargetScale:
        """Mean and deviation of a label's values, as far as training has shown them.

        Args:
            name: of the label.
        """
        sums = self._sums(name)
        found = TargetScale(self.sizes[name], sums.device)
        found.sums = sums
        return found

    def learn_scale(self, name: str, target: Tensor, known: Tensor) -> None:
        """Counts the values of a training batch.

        Args:
            name: of the label.
            target: ``[B, K]``.
            known: which samples have it.
        """
        scale = self.scale(name)
        scale.add(target, known)
        self._sums(name).copy_(scale.seen)

    def _sums(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self, f"sums_{list(self.sizes).index(name)}"))
