# B batch, C channels, H W height and width, N tokens, D width, M target blocks, Kc Kt kept tokens
"""I-JEPA: predict the representations of blocks of an image from the rest of it.

Source: arXiv 2301.08243. The variance, covariance and invariance terms on pooled features: C-JEPA, arXiv 2410.19560.
"""

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from jepa_lightning.data.pipelines import Pipeline, masked_image_pipeline
from jepa_lightning.ema import frozen_copy
from jepa_lightning.losses import Distance, SIGReg, VarianceCovariance, normalize_targets, prediction_distance
from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.modules.base import JEPAModule
from jepa_lightning.nn import Predictor, VisionTransformer, take_tokens, vit_size
from jepa_lightning.types import Batch, Masks, StepOutput

Regularizer = Literal["variance_covariance", "sigreg"]


class IJEPA(JEPAModule):
    """Image-based joint-embedding predictive architecture (arXiv 2301.08243).

    The defaults are the paper's for ViT-S/16 at 224 px. On a few thousand small images they collapse; start there from
    ``configs/ijepa/small.yaml``.

    Args:
        encoder: a named size: vit_tiny, vit_small, vit_base, vit_large, vit_huge, vit_giant or vit_gigantic.
        image_size: height and width, or one number for both.
        patch_size: side of a patch in pixels.
        width: overrides the named size.
        depth: overrides the named size.
        heads: overrides the named size.
        predictor_depth: blocks of the predictor; the paper has 6 for ViT-B, 12 for L and H, 16 for G.
        predictor_dim: width of the predictor.
        predictor_heads: None takes the encoder's, as the reference does.
        num_targets: target blocks an image.
        target_scale: range of a target block's share of the grid.
        context_scale: range of the context block's share of the grid.
        aspect_ratio: range of a target block's height over its width.
        min_keep: tokens that every context keeps.
        legacy_masks: draw masks as the reference does, which never reach the last row and column.
        distance: between predicted and target tokens; the reference's code has smooth_l1, its paper l2.
        normalize_targets: layer-normalise target tokens over their width.
        target_layers: average the targets over so many of the last blocks, each normalised, as data2vec does
            (arXiv 2202.03555); lower layers hold more of the image, and hold it from the first step on.
        regularizer: keeps the pooled context features from collapsing; None, as in the paper, leaves it to the EMA.
        variance: weight of the variance term, for variance_covariance.
        covariance: weight of the covariance term, for variance_covariance.
        invariance: weight of the squared distance between pooled context and pooled target features, the third term of
            VICReg, with either regulariser.
        sigreg: weight of the term for sigreg.
        crop_scale: range of the random crop's area over the image's.
        flip: mirror half of the images; the paper does not.
        drop_path: stochastic depth rate of the context encoder's last block.
        legacy_init: initialise as the reference effectively does.
        gradient_checkpointing: recompute blocks in the backward pass, for less memory.
        kwargs: optimizer, schedule, EMA and compilation, as in ``JEPAModule``.

    Raises:
        ValueError: if the sizes or the masks do not fit each other, or invariance comes without a regularizer.
    """

    def __init__(
        self,
        encoder: str = "vit_small",
        image_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        predictor_depth: int = 6,
        predictor_dim: int = 384,
        predictor_heads: int | None = None,
        num_targets: int = 4,
        target_scale: tuple[float, float] = (0.15, 0.2),
        context_scale: tuple[float, float] = (0.85, 1.0),
        aspect_ratio: tuple[float, float] = (0.75, 1.5),
        min_keep: int = 10,
        legacy_masks: bool = False,
        distance: Distance = "smooth_l1",
        normalize_targets: bool = True,
        target_layers: int = 1,
        regularizer: Regularizer | None = None,
        variance: float = 5.0,
        covariance: float = 1.0,
        invariance: float = 0.0,
        sigreg: float = 0.05,
        crop_scale: tuple[float, float] = (0.3, 1.0),
        flip: bool = False,
        drop_path: float = 0.0,
        legacy_init: bool = False,
        gradient_checkpointing: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if invariance and regularizer is None:
            raise ValueError(
                f"invariance={invariance} without a regularizer would pull all features together: "
                "set regularizer to variance_covariance or sigreg."
            )
        self.size = vit_size(encoder, width=width, depth=depth, heads=heads)
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.patch_size, self.drop_path = patch_size, drop_path
        self.predictor_depth, self.predictor_dim = predictor_depth, predictor_dim
        self.predictor_heads = predictor_heads or self.size.heads
        self.legacy_init, self.gradient_checkpointing = legacy_init, gradient_checkpointing
        self.distance_name, self.normalize_targets = distance, normalize_targets
        self.target_layers, self.invariance = target_layers, invariance
        self.crop_scale, self.flip = crop_scale, flip
        self.context_encoder = self.build_encoder()
        self.target_encoder = frozen_copy(self.context_encoder)
        self.predictor = self.build_predictor()
        self.masks = MultiBlockMask(
            self.grid_size, context_scale, target_scale, aspect_ratio, num_targets, min_keep, legacy_masks
        )
        self.regularizer = build_regularizer(regularizer, variance, covariance, sigreg)

    @property
    def grid_size(self) -> tuple[int, int]:
        """Rows and columns of the token grid."""
        return cast(tuple[int, int], self.context_encoder.grid_size)

    @property
    def eval_encoder(self) -> nn.Module:
        """The target encoder, which the paper evaluates."""
        return self.target_encoder

    def ema_pairs(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Context and target encoder."""
        return ((self.context_encoder, self.target_encoder),)

    def build_encoder(self) -> VisionTransformer:
        """The context encoder; override it for a network of your own with ``grid_size`` and ``width``."""
        return VisionTransformer(
            self.image_size,
            self.patch_size,
            *self.size,
            drop_path=self.drop_path,
            legacy_init=self.legacy_init,
            gradient_checkpointing=self.gradient_checkpointing,
        )

    def build_predictor(self) -> nn.Module:
        """The predictor; called as ``predictor(context, masks.context, masks.target)``."""
        return Predictor(
            self.grid_size,
            self.context_encoder.width,
            self.predictor_dim,
            self.predictor_depth,
            self.predictor_heads,
            legacy_init=self.legacy_init,
            gradient_checkpointing=self.gradient_checkpointing,
        )

    def pipeline(self) -> Pipeline:
        """One cropped view with multi-block masks."""
        return masked_image_pipeline(self.image_size, self.masks, self.crop_scale, self.flip)

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Distance of ``[B, M, Kt, D]`` predicted and target tokens for each image: ``[B]``."""
        return prediction_distance(predicted, target, self.distance_name)

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Mean distance between predicted and target blocks, plus the regulariser's term where there is one."""
        masks = self._masks(batch)
        if len(batch.views) != 1:
            raise ValueError(
                f"{type(self).__name__} takes one view, got {len(batch.views)}: use the transform of module.pipeline()."
            )
        layers = self._encode_target(batch.views[0])
        features = layers[-1].mean(dim=1)
        context = self.context_encoder(batch.views[0], keep=masks.context)
        predicted = self.predictor(context, masks.context, masks.target)
        target = self._target_blocks(layers, masks)
        loss = self.distance(predicted, target).mean()
        logs = {
            "prediction_loss": loss.detach(),
            "prediction_std": predicted.detach().float().std(dim=0).mean(),
            "target_std": target.float().std(dim=0).mean(),
        }
        if self.regularizer is not None:
            pooled = context.mean(dim=1)
            penalty = self.regularizer(pooled) + self.invariance * prediction_distance(pooled, features, "l2").mean()
            loss = loss + penalty
            logs["regularizer"] = penalty.detach()
        return StepOutput(loss, features, logs)

    def energy(self, batch: Batch) -> Tensor:
        """Distance between what the context predicts and the target blocks, ``[B]``."""
        masks = self._masks(batch)
        context = self.context_encoder(batch.views[0], keep=masks.context)
        predicted = self.predictor(context, masks.context, masks.target)
        return self.distance(predicted, self._target_blocks(self._encode_target(batch.views[-1]), masks))

    @torch.no_grad()
    def _encode_target(self, view: Tensor) -> list[Tensor]:
        """Target tokens of the whole view, ``[B, N, D]`` of each target layer; the last is the encoder's output."""
        if self.target_layers == 1:
            return [self.target_encoder(view)]
        return cast(list[Tensor], self.target_encoder(view, layers=range(-self.target_layers, 0)))

    def _target_blocks(self, layers: Sequence[Tensor], masks: Masks) -> Tensor:
        """Tokens of the target blocks, ``[B, M, Kt, D]``, averaged over layers."""
        if self.normalize_targets:
            layers = [normalize_targets(tokens) for tokens in layers]
        tokens = torch.stack(list(layers)).mean(dim=0)
        if self.normalize_targets and len(layers) > 1:
            tokens = normalize_targets(tokens)  # an average is smaller than what it is of
        return take_tokens(tokens, masks.target.flatten(1)).reshape(*masks.target.shape, -1)

    def _masks(self, batch: Batch) -> Masks:
        if len(batch.masks) != 1:
            raise ValueError(
                f"{type(self).__name__} needs one set of masks in its batch, got {len(batch.masks)}: "
                "collate with module.pipeline().collate."
            )
        return batch.masks[0]


def build_regularizer(name: Regularizer | None, variance: float, covariance: float, sigreg: float) -> nn.Module | None:
    """The regulariser of a name, taking ``[B, D]`` features to a scalar."""
    if name is None:
        return None
    if name == "variance_covariance":
        return VarianceCovariance(variance, covariance)
    return SIGReg(weight=sigreg)
