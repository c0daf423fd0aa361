# B batch, C channels, T H W frames, height, width, N tokens, D width, L levels
"""What a joint-embedding predictive architecture predicts: tokens of a whole view, by the network that gives them."""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from jepa_lightning.losses import normalize_targets
from jepa_lightning.modules.encoder_module import EncoderModule
from jepa_lightning.modules.teacher import open_teacher, with_statistics
from jepa_lightning.nn import VIT_SIZES
from jepa_lightning.nn.encoder_spec import Encoder, encoder_spec
from jepa_lightning.options import Layers, PositiveInt


class LatentTargets(EncoderModule):
    """The side of the targets of ``LatentPrediction``, which builds the networks.

    Args:
        encoder: as in ``EncoderModule``.
        normalize_targets: layer-normalize each target token over its width.
        target_layers: number of last encoder blocks whose outputs are averaged to the targets, each normalized
            (data2vec, arXiv 2202.03555). Lower layers hold more of the image, and hold it from the first step on.
        levels: encoder blocks that are predicted side by side, each with a norm of its own, in rising order; negative
            ones count from the end, and the last one is the last block (V-JEPA 2.1, arXiv 2603.14482, has
            ``[5, 11, 17, 23]`` for ViT-L). None has the last block alone. Features are the last block's in any case.
        teacher: checkpoint of a finished run of this package, whose frozen encoder gives the targets in place of the
            moving average, which follows the student as before and is what is evaluated. Its weights are saved with
            the student's.
        kwargs: channels see ``EncoderModule``; optimizer, schedule, EMA and compilation, as in ``JEPAModule``.

    Raises:
        ValueError: if the teacher is none, or options are to differ from its own.
    """

    not_plain: ClassVar[Sequence[str]] = ("encoder", "teacher")
    context_encoder: nn.Module
    target_encoder: nn.Module

    def __init__(
        self,
        encoder: Encoder,
        normalize_targets: bool = True,
        target_layers: PositiveInt = 1,
        levels: Layers | None = None,
        teacher: Encoder | None = None,
        **kwargs: Any,
    ) -> None:
        found = open_teacher(teacher)
        kwargs = with_statistics(found, kwargs)
        super().__init__(encoder, **kwargs)
        self.save_hyperparameters({"teacher": None if found is None else encoder_spec(found)})
        self.teacher, self.normalize_targets = found, normalize_targets
        self.target_layers, self.levels = target_layers, None if levels is None else list(levels)

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: the number of averaged blocks where others are named."""
        unused = super().unused_options(options)
        return unused if options["levels"] is None else unused | {"target_layers": "levels says which blocks they are"}

    @property
    def grid_size(self) -> tuple[int, ...]:
        """Tokens along each axis of the grid."""
        return cast(tuple[int, ...], self.context_encoder.grid_size)

    @property
    def encoder_width(self) -> int:
        """D, the width of the tokens."""
        return int(self.context_encoder.width)  # type: ignore[arg-type]  # any network of the user's

    def grid_of(self, view: Tensor) -> tuple[int, ...]:
        """Tokens along each axis of the grid of a view, ``[B, C, H, W]`` or ``[B, C, T, H, W]``."""
        return self.grid_size

    @torch.no_grad()
    def encode_target(self, view: Tensor) -> list[Tensor]:
        """Target tokens of the whole view, ``[B, N, D]`` of each target layer; the last is the encoder's output."""
        encoder = self.target_encoder if self.teacher is None else self.teacher
        if self.target_layers == 1 and self.levels is None:
            layers = [encoder(view)]
        else:
            layers = cast(list[Tensor], encoder(view, layers=self.levels or range(-self.target_layers, 0)))
        width = self.encoder_width if self.teacher is None else self.teacher.width
        self.check_tokens(layers[-1], self.grid_of(view), width)
        return layers

    def target_tokens(self, layers: Sequence[Tensor]) -> Tensor:
        """What is predicted: the layers of ``encode_target``, normalized.

        Returns:
            ``[B, N, D]``, their average, or with levels ``[B, N, L * D]``, all of them side by side. A single layer
            that is not normalized is returned as it is.
        """
        if self.normalize_targets:
            layers = [normalize_targets(tokens) for tokens in layers]
        if self.levels is not None:
            return torch.cat(list(layers), dim=-1)
        if len(layers) == 1:
            return layers[0]
        tokens = torch.stack(list(layers)).mean(dim=0)
        # an average is smaller than what it is of
        return normalize_targets(tokens) if self.normalize_targets else tokens

    def features_of(self, layers: Sequence[Tensor]) -> tuple[Tensor | None, Tensor | None]:
        """Features ``[B, D]`` and tokens ``[B, N, D]`` that ``encode_target`` has computed; None of a teacher's."""
        return (None, None) if self.teacher is not None else (layers[-1].mean(dim=1), layers[-1])

    def check_layers(self, depth: int | None) -> None:
        """Refuses targets of blocks that are not there, or of an encoder that gives only its output.

        Args:
            depth: number of its blocks, where that is known.

        Raises:
            ValueError: if so, or if blocks are chosen of a teacher.
        """
        if depth is not None and self.target_layers > depth:
            raise ValueError(f"target_layers={self.target_layers} is not from 1 to the encoder's {depth} blocks.")
        if self.target_layers > 1 and "layers" not in signature(self.context_encoder.forward).parameters:
            raise ValueError(
                f"target_layers={self.target_layers}, and {self.encoder_label} gives no outputs of its blocks (its "
                "forward has no argument layers): leave target_layers out."
            )
        if self.levels is not None and not getattr(self.context_encoder, "levels", None):
            raise ValueError(
                f"levels={self.levels}, and {self.encoder_label} has no norm for each of them: leave levels out, or "
                f"choose one of {', '.join(VIT_SIZES)}."
            )
        if self.levels is not None:
            self.levels = list(self.context_encoder.levels)  # type: ignore[arg-type]  # counted from the front
        if self.teacher is not None and (self.levels is not None or self.target_layers > 1):
            raise ValueError(
                "levels and target_layers cannot be set beside a teacher, whose output alone is predicted: leave them "
                "out."
            )
