# B batch, N tokens, D width, C classes
"""Classifiers that pool tokens by attention, as V-JEPA is evaluated."""

import copy
from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn

from jepa_lightning.nn.attentive_pooler import AttentivePooler
from jepa_lightning.nn.attentive_pooler import Generation as Generation
from jepa_lightning.probing.heads import ProbeHeads


class AttentiveHeads(ProbeHeads):
    """Variants of a pooler with a linear classifier for each label; all start alike.

    Args:
        width: D.
        classes: C of each label.
        variants: how many.
        depth: as in ``AttentivePooler``, as are
        heads: and
        generation:
        normalize: bring each channel of the tokens to mean 0 and variance 1 first, by a norm without weights.
    """

    autocast = True

    def __init__(
        self,
        width: int,
        classes: Sequence[int],
        variants: int,
        depth: int,
        heads: int,
        generation: Generation,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"features of width {width} are not a multiple of num_heads {heads}: set a divisor.")
        self.width = width
        self.options = {
            "variants": variants,
            "depth": depth,
            "num_heads": heads,
            "generation": generation,
            "normalize": normalize,
        }
        self.norm = nn.BatchNorm1d(width, eps=1e-6, affine=False) if normalize else None
        first = nn.ModuleList(
            [AttentivePooler(width, len(classes), depth, heads, generation), *(nn.Linear(width, c) for c in classes)]
        )
        for layer in first[1:]:
            nn.init.normal_(cast(nn.Linear, layer).weight, std=0.02)
            nn.init.zeros_(cast(nn.Linear, layer).bias)
        self.variants = nn.ModuleList([first])
        for _ in range(variants - 1):
            self.variants.append(copy.deepcopy(first))

    def forward(self, features: Tensor) -> list[list[Tensor]]:
        """``[B, N, D]`` to ``[B, C]`` of each label, for each variant."""
        if self.norm is not None:
            features = self.norm(features.flatten(0, 1)).view_as(features)
        return [_classify(cast(nn.ModuleList, variant), features) for variant in self.variants]

    def parameter_groups(self, lrs: Sequence[float], weight_decay: float) -> list[dict[str, Any]]:
        """For an optimizer: each variant with its learning rate, biases and norms without decay."""
        return [
            {"params": [p for p in variant.parameters() if (p.ndim > 1) == decays], "lr": lr, "weight_decay": decay}
            for variant, lr in zip(self.variants, lrs, strict=True)
            for decays, decay in ((True, weight_decay), (False, 0.0))
        ]

    def average_gradients(self, counts: Tensor) -> None:
        """Divides by the mean count: labels share a pooler."""
        for parameter in self.parameters():
            cast(Tensor, parameter.grad).div_(counts.mean().clamp(min=1))

    def statistics(self) -> Sequence[Tensor]:
        """Those of the norm."""
        if self.norm is None:
            return ()
        return cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)


def heads_for(width: int) -> int:
    """Heads of an attention: one for each 64 channels, or as near to it as divides them."""
    return next(number for number in range(max(1, width // 64), 0, -1) if width % number == 0)


def _classify(variant: nn.ModuleList, tokens: Tensor) -> list[Tensor]:
    pooler, *classifiers = variant
    pooled = pooler(tokens).unbind(1)
    return [classifier(query) for classifier, query in zip(classifiers, pooled, strict=True)]
