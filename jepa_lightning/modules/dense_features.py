# B batch, N tokens, D width, C channels, H W height and width, h w of the grid
"""Features of places, under the names that users of timm and torchvision know."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

from torch import Tensor

from jepa_lightning.nn.token_maps import as_maps, token_grid

LAST = 4  # layers of the maps that are given where none are named


class DenseFeatures:
    """Tokens and maps of a module's ``eval_encoder``."""

    eval_encoder: Any

    def forward_features(self, x: Tensor) -> Tensor:
        """Tokens of the last block, ``[B, C, H, W]`` to ``[B, N, D]``, without class tokens."""
        tokens: Tensor = self.eval_encoder(x)
        return tokens

    def feature_maps(self, x: Tensor, layers: Sequence[int] | None = None) -> list[Tensor]:
        """Maps for a dense head, as timm's ``features_only`` networks and torchvision's backbones give them.

        Args:
            x: ``[B, C, H, W]``, or clips ``[B, C, T, H, W]``.
            layers: blocks, or stages of a convolutional network, negative ones from the end; None takes the last four,
                or as many as there are.

        Returns:
            One a layer, ``[B, D, h, w]``, or ``[B, D, t, h, w]`` of clips.

        Raises:
            ValueError: if there is no such layer.
        """
        encoder = self.eval_encoder
        taken = _joinable(encoder, x) if layers is None else list(layers)
        tokens: list[Tensor] = encoder(x, layers=taken) if taken else [encoder(x)]
        return [as_maps(each, token_grid(encoder, x, each.shape[1])) for each in tokens]

    def feature_info(self, x: Tensor, layers: Sequence[int] | None = None) -> list[dict[str, int]]:
        """What ``feature_maps`` gives of such a view: ``num_chs``, D, and ``reduction``, pixels from place to place."""
        return [
            {"num_chs": each.shape[1], "reduction": x.shape[-1] // each.shape[-1]}
            for each in self.feature_maps(x, layers)
        ]


def joinable_layers(encoder: Any, x: Tensor, most: int = LAST) -> list[int]:
    """The last blocks of an encoder, from the front; empty where it has one, or does not give them.

    Args:
        encoder: maps x to tokens.
        x: a small batch to try.
        most: how many.
    """
    if "layers" not in signature(getattr(encoder, "network", encoder).forward).parameters:
        return []
    for number in range(most, 1, -1):
        layers = list(range(-number, 0))
        try:
            encoder(x, layers=layers)
        except ValueError:  # the encoder has fewer blocks
            continue
        return layers
    return []


def _joinable(encoder: Any, x: Tensor) -> list[int]:
    return joinable_layers(encoder, x[:1])
