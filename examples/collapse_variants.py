# B batch, N tokens, D width, M target blocks, Kc Kt kept tokens, S samples
"""What `collapse_study.py` changes in I-JEPA: options, small subclasses, and the scenes of a batch."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

from jepa_lightning import IJEPA
from jepa_lightning.nn.pos_embed import sincos_pos_embed
from jepa_lightning.nn.tokens import take_tokens


class OneNetwork(IJEPA):
    """No stop-gradient and no target network: the gradient goes through both sides of the prediction error."""

    def encode_target(self, view: Tensor) -> list[Tensor]:
        """Tokens ``[B, N, D]`` of the whole view, of the context encoder's last layers."""
        return list(self.context_encoder(view, layers=range(-self.target_layers, 0)))


class MeanOfContext(nn.Module):
    """No predictor: the mean of the context tokens stands for every target."""

    def forward(self, context: Tensor, context_index: Tensor, target_index: Tensor, mask_index: int = 0) -> Tensor:
        """``[B, Kc, D]`` to ``[B, M, Kt, D]``."""
        return context.mean(dim=1)[:, None, None].expand(*target_index.shape, -1)


class LinearInContext(nn.Module):
    """A linear predictor: one matrix times the mean of the context tokens, another times the position of the target."""

    def __init__(self, width: int, grid_size: Sequence[int]) -> None:
        super().__init__()
        self.content, self.place = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.register_buffer("positions", sincos_pos_embed(width, grid_size)[None])
        self.positions: Tensor

    def forward(self, context: Tensor, context_index: Tensor, target_index: Tensor, mask_index: int = 0) -> Tensor:
        """``[B, Kc, D]`` to ``[B, M, Kt, D]``."""
        places = take_tokens(self.positions.expand(len(context), -1, -1), target_index.flatten(1))
        place = self.place(places).unflatten(1, target_index.shape[1:])
        return self.content(context.mean(dim=1))[:, None, None] + place


class NoPredictor(IJEPA):
    """I-JEPA with ``MeanOfContext``."""

    def build_predictor(self) -> nn.Module:
        """The predictor."""
        return MeanOfContext()


class LinearPredictor(IJEPA):
    """I-JEPA with ``LinearInContext``."""

    def build_predictor(self) -> nn.Module:
        """The predictor."""
        return LinearInContext(self.encoder_width, self.grid_size)


class Variant(NamedTuple):
    """One run of the study.

    Attributes:
        group: row of the figure; empty for the run that all others are compared with.
        module: I-JEPA or a subclass.
        options: of the module, over the common ones.
        one_kind: whether all scenes of a batch have the same shape and color.
    """

    group: str
    module: type[IJEPA] = IJEPA
    options: dict[str, Any] = {}  # noqa: RUF012
    one_kind: bool = False


BASE = "m = 0.99 (base)"
VARIANTS = {
    "m = 0": Variant("EMA momentum", options={"ema": (0.0, 0.0)}),
    "m = 0.9": Variant("EMA momentum", options={"ema": (0.9, 0.9)}),
    BASE: Variant(""),
    "m = 0.996": Variant("EMA momentum", options={"ema": (0.996, 0.996)}),
    "m = 1": Variant("EMA momentum", options={"ema": (1.0, 1.0)}),
    "gradient to targets": Variant("gradient and predictor", OneNetwork, {"ema": (0.0, 0.0)}),
    "no predictor": Variant("gradient and predictor", NoPredictor),
    "linear predictor": Variant("gradient and predictor", LinearPredictor),
    "wide predictor": Variant("gradient and predictor", options={"predictor_dim": 128}),
    "no normalization": Variant("targets and batches", options={"normalize_targets": False}),
    "no normalization, gradient": Variant(
        "targets and batches", OneNetwork, {"normalize_targets": False, "ema": (0.0, 0.0)}
    ),
    "one kind a batch": Variant("targets and batches", one_kind=True),
    "targets of all layers": Variant("targets and batches", options={"target_layers": 2}),
    "content": Variant("regularizers", options={"content": 1.0}),
    "content, all layers": Variant("regularizers", options={"content": 1.0, "target_layers": 2}),
    "content, m = 0": Variant("regularizers", options={"content": 1.0, "ema": (0.0, 0.0)}),
    "content, gradient": Variant("regularizers", OneNetwork, {"content": 1.0, "ema": (0.0, 0.0)}),
    "content, no predictor": Variant("regularizers", NoPredictor, {"content": 1.0}),
    "variance, covariance": Variant("regularizers", options={"regularizer": "variance_covariance"}),
    "SIGReg": Variant("regularizers", options={"regularizer": "sigreg"}),
}
GROUPS = tuple(dict.fromkeys(variant.group for variant in VARIANTS.values() if variant.group))


class OneKind(Sampler[list[int]]):
    """Batches of scenes of one shape and color each, drawn with replacement.

    Args:
        labels: int64 ``[S]`` by name.
        batch_size: B.
    """

    def __init__(self, labels: dict[str, Tensor], batch_size: int) -> None:
        pairs = torch.stack([labels["shape"], labels["color"]], dim=1)
        _, kinds = pairs.unique(dim=0, return_inverse=True)
        self.kinds = [torch.nonzero(kinds == kind)[:, 0] for kind in range(int(kinds.max()) + 1)]
        self.batch_size, self.number = batch_size, len(kinds) // batch_size

    def __len__(self) -> int:
        return self.number

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(self.number):
            kind = self.kinds[int(torch.randint(len(self.kinds), ()))]
            yield kind[torch.randint(len(kind), (self.batch_size,))].tolist()
