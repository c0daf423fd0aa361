# B batch, N tokens, D width, K numbers of a label
"""The head of a classifier: outputs for each label, from pooled tokens or by attention."""

from collections.abc import Callable, Mapping
from typing import Literal, cast

import torch
from torch import Tensor, nn
from typing_extensions import Self

from jepa_lightning.distributed import sum_over_ranks
from jepa_lightning.probing.attentive_heads import AttentiveHeads, heads_for
from jepa_lightning.probing.linear_heads import LinearHeads
from jepa_lightning.probing.metrics import precise
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
        """Tokens ``[B, N, D]`` to outputs ``[B, K]`` by label; values are those of standardized ones.

        Raises:
            ValueError: if a linear head is trained on a single sample.
        """
        if self.kind == "linear" and self.training and len(tokens) < LinearHeads.least:
            raise ValueError(
                f"a linear head normalizes features by those of the batch, and this one has {len(tokens)} sample(s): "
                f"give {LinearHeads.least} or more, or head='attentive'."
            )
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
        """Counts the values of a training batch, of all ranks.

        Args:
            name: of the label.
            target: ``[B, K]``.
            known: which samples have it.
        """
        sums = self._sums(name)
        new = TargetScale(self.sizes[name], sums.device)
        new.add(target, known)
        sums.add_(sum_over_ranks(new.seen))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Moves the sums with the rest, and leaves them as precise as the device can have them.

        In half precision, to which ``bf16-true`` takes all that floats, a count stays at 256.
        """
        kept = {name: sums for name, sums in self._buffers.items() if sums is not None}
        self._buffers.clear()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, sums in kept.items():
            device = fn(sums.new_empty(0, dtype=torch.float32)).device
            dtype = precise(device)
            moved = torch.empty_like(sums, device=device, dtype=dtype) if sums.is_meta else sums.to(device, dtype)
            self._buffers[name] = moved
        return self

    def _sums(self, name: str) -> Tensor:
        return cast(Tensor, getattr(self, f"sums_{list(self.sizes).index(name)}"))
