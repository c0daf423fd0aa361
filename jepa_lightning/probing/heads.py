# B batch, C classes
"""What a probe trains."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor, nn


class ProbeHeads(nn.Module):
    """What such a probe trains: for each variant of it, a classifier for each label.

    Attributes:
        width: D of the features it takes.
        options: what must be the same in a resumed run.
        least: samples of a batch that it can train on.
        autocast: run the forward pass in the Trainer's precision; worth it where attention takes much of a step.
    """

    width: int
    autocast: bool = False
    options: Mapping[str, int] = MappingProxyType({})
    least: int = 1

    def forward(self, features: Tensor) -> list[list[Tensor]]:
        """Logits ``[B, C]``, by variant and then by label."""
        raise NotImplementedError

    def average_gradients(self, counts: Tensor) -> None:
        """Turns gradients of sums into those of means, for ``counts`` labeled samples of each label."""
        raise NotImplementedError

    def statistics(self) -> Sequence[Tensor]:
        """Running statistics that ranks must share; none unless there is a norm that has some."""
        return ()
