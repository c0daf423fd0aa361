# B batch, C channels, H W height and width, N tokens, D width, M target blocks, Kc Kt kept tokens
"""I-JEPA: predict the representations of blocks of an image from the rest of it.

Source: arXiv 2301.08243. The regulariser on the pooled features of several views: C-JEPA, arXiv 2410.19560.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from jepa_lightning.data.pipelines import Pipeline, masked_image_pipeline
from jepa_lightning.ema import frozen_copy
from jepa_lightning.losses import Distance, VarianceCovariance, normalize_targets, prediction_distance, token_content
from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.modules.base import JEPAModule
from jepa_lightning.modules.regularizer import RegularizerName, build_regularizer
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import Predictor, VisionTransformer, take_tokens, vit_size
from jepa_lightning.types import Batch, Masks, StepOutput


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
        regularizer: keeps the pooled context features of different images apart; None, as in the paper, leaves it to
            the EMA.
        variance: weight of the variance term, for variance_covariance and content.
        covariance: weight of the covariance term, for variance_covariance and content.
        sigreg: weight of the term for sigreg.
        uniformity: weight of the term for uniformity.
        projector: width of a two-layer head between pooled features and regulariser; None has the features themselves.
        content: weight of the variance and covariance terms on the content of context tokens: what is left of them when
            the mean of their position is taken away. Keeps images apart at every position, with or without regularizer.
        num_crops: crops of each image, each with masks of its own. Targets are predicted in the first; the others serve
            the regulariser.
        invariance: weight of the distance between the pooled context features of an image's crops, with a regulariser.
        crop_scale: range of a random crop's area over the image's.
        flip: mirror half of the images; the paper does not.
        drop_path: stochastic depth rate of the context encoder's last block.
        legacy_init: initialise as the reference effectively does.
        gradient_checkpointing: recompute blocks in the backward pass, for less memory.
        kwargs: optimizer, schedule, EMA and compilation, as in ``JEPAModule``.

    Raises:
        ValueError: if the sizes or the masks do not fit each other, or several crops come without a regularizer or
            invariance without several crops.
    """

    traits: ClassVar = Traits(
        "representation", "EMA target, predictor, masking", needs_augmentations=False, needs_negatives=False
    )

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
        regularizer: RegularizerName | None = None,
        variance: float = 5.0,
        covariance: float = 1.0,
        sigreg: float = 0.05,
        uniformity: float = 1.0,
        projector: int | None = None,
        content: float = 0.0,
        num_crops: int = 1,
        invariance: float = 0.0,
        crop_scale: tuple[float, float] = (0.3, 1.0),
        flip: bool = False,
        drop_path: float = 0.0,
        legacy_init: bool = False,
        gradient_checkpointing: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_crops(num_crops, regularizer, invariance)
        self.size = vit_size(encoder, width=width, depth=depth, heads=heads)
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.patch_size, self.drop_path = patch_size, drop_path
        self.predictor_depth, self.predictor_dim = predictor_depth, predictor_dim
        self.predictor_heads = predictor_heads or self.size.heads
        self.legacy_init, self.gradient_checkpointing = legacy_init, gradient_checkpointing
        self.distance_name, self.normalize_targets = distance, normalize_targets
        self.target_layers = target_layers
        self.crop_scale, self.flip, self.num_crops = crop_scale, flip, num_crops
        self.context_encoder = self.build_encoder()
        self.target_encoder = frozen_copy(self.context_encoder)
        self.predictor = self.build_predictor()
        self.masks = MultiBlockMask(
            self.grid_size, context_scale, target_scale, aspect_ratio, num_targets, min_keep, legacy_masks
        )
        self.regularizer = build_regularizer(
            regularizer,
            self.size.width,
            variance=variance,
            covariance=covariance,
            sigreg=sigreg,
            uniformity=uniformity,
            invariance=invariance,
            projector=projector,
        )
        self.content, self.content_statistic = content, VarianceCovariance(variance, covariance)

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
        """Cropped views, each with multi-block masks of its own."""
        return masked_image_pipeline(self.image_size, self.masks, self.crop_scale, self.flip, self.num_crops)

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Distance of ``[B, M, Kt, D]`` predicted and target tokens for each image: ``[B]``."""
        return prediction_distance(predicted, target, self.distance_name)

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Mean distance between predicted and target blocks, plus the regulariser's term where there is one."""
        if not 1 <= len(batch.views) <= self.num_crops:
            raise ValueError(
                f"{type(self).__name__} takes at most {self.num_crops} views of an image, got {len(batch.views)}: use "
                "the transform of module.pipeline()."
            )
        masks, *_ = each = self._masks(batch)
        contexts = [
            self.context_encoder(crop, keep=kept.context)
            for crop, kept in zip(batch.views, each, strict=False)  # evaluation has one view alone
        ]
        layers = self._encode_target(batch.views[0])
        predicted = self.predictor(contexts[0], masks.context, masks.target)
        target = self._target_blocks(layers, masks)
        loss = self.distance(predicted, target).mean()
        logs = {
            "prediction_loss": loss.detach(),
            "prediction_std": predicted.detach().float().std(dim=0).mean(),
            "target_std": target.float().std(dim=0).mean(),
        }
        for name, penalty in self._penalties(contexts, each).items():
            loss = loss + penalty
            logs[name] = penalty.detach()
        return StepOutput(loss, layers[-1].mean(dim=1), logs)

    def energy(self, batch: Batch) -> Tensor:
        """Distance between what the context of the first view predicts and the target blocks of the last, ``[B]``.

        A training batch of several crops holds no true pair in this sense: give it ``views[:1]``.
        """
        masks, *_ = self._masks(batch)
        context = self.context_encoder(batch.views[0], keep=masks.context)
        predicted = self.predictor(context, masks.context, masks.target)
        return self.distance(predicted, self._target_blocks(self._encode_target(batch.views[-1]), masks))

    def _penalties(self, contexts: Sequence[Tensor], masks: Sequence[Masks]) -> dict[str, Tensor]:
        """Terms that keep from collapse, from the context tokens ``[B, Kc, D]`` of each crop."""
        penalties = {}
        if self.regularizer is not None:
            penalties["regularizer"] = self.regularizer([context.mean(dim=1) for context in contexts])
        if self.content:
            spread = [
                self.content_statistic(token_content(context, kept.context, math.prod(self.grid_size)))
                for context, kept in zip(contexts, masks, strict=False)
            ]
            penalties["content_regularizer"] = self.content * torch.stack(spread).mean()
        return penalties

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

    def _masks(self, batch: Batch) -> tuple[Masks, ...]:
        if len(batch.masks) != self.num_crops:
            raise ValueError(
                f"{type(self).__name__} needs masks in its batch for {self.num_crops} crops, got {len(batch.masks)}: "
                "collate with module.pipeline().collate."
            )
        return batch.masks


def check_crops(num_crops: int, regularizer: RegularizerName | None, invariance: float) -> None:
    """Refuses crops, regulariser and invariance that make no sense together.

    Raises:
        ValueError: saying what is missing.
    """
    if num_crops < 1:
        raise ValueError(f"num_crops={num_crops}: give at least 1.")
    if num_crops > 1 and regularizer is None:
        raise ValueError(
            f"num_crops={num_crops} without a regularizer: only that looks at crops after the first. Set regularizer "
            "to variance_covariance, sigreg or uniformity."
        )
    if invariance and num_crops < 2:
        raise ValueError(f"invariance={invariance} is between crops of an image: set num_crops to 2.")
