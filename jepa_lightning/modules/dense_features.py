# B batch, N tokens, D width, C channels, H W height and width, h w of the grid
"""Features of places, under the names that users of timm and torchvision know."""

from collections.abc import Sequence
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from jepa_lightning.features import eval_mode
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
        with torch.no_grad(), eval_mode(self.eval_encoder):
            maps = self.feature_maps(x, layers)
        patch = getattr(self.eval_encoder, "patch", None)
        return [
            {"num_chs": each.shape[1], "reduction": patch[-1] if patch else _stride(x.shape[-2:], each.shape[-2:])}
            for each in maps
        ]


def joinable_layers(encoder: Any, x: Tensor, most: int = LAST) -> list[int]:
    """The last blocks of an encoder, from the front; empty where it has one, or does not give them.

    Args:
        encoder: maps x to tokens.
        x: a small batch to try.
        most: how many.
    """
    if not _takes_layers(encoder):
        return []
    with torch.no_grad(), eval_mode(encoder):  # statistics of a norm in training would move, or need more samples
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


def _takes_layers(encoder: Any) -> bool:
    """Whether an encoder has the argument ``layers``, or hands what it is given to a network that has it."""
    parameters = signature(encoder.forward).parameters
    if "layers" in parameters or not hasattr(encoder, "network"):
        return "layers" in parameters
    return any(each.kind is each.VAR_KEYWORD for each in parameters.values()) and _takes_layers(encoder.network)


def _stride(view: Sequence[int], places: Sequence[int]) -> int:
    """Pixels from place to place: the power of 2 that gives as many, rounded up or down, or the mean of a row."""
    pairs = list(zip(view, places, strict=True))
    strides = (2**power for power in range(max(view).bit_length()))
    fitting = (each for each in strides if all(size // each <= number <= -(-size // each) for size, number in pairs))
    return next(fitting, view[-1] // places[-1])
