# B batch, D width, Kc kept tokens
"""I-JEPA: predict the representations of blocks of an image from the rest of it.

Source: arXiv 2301.08243. The regularizer on the pooled features of several views: C-JEPA, arXiv 2410.19560.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from jepa_lightning.data.pipelines import Pipeline, masked_image_pipeline
from jepa_lightning.losses import Distance
from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.modules.building import masked_encoder
from jepa_lightning.modules.latent_prediction import LatentPrediction
from jepa_lightning.modules.regularizer import RegularizerName, build_regularizer
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import blocks_of
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.nn.predictor import PredictorAttention
from jepa_lightning.options import Flip, ImageSize, Length, NonNegativeFloat, PositiveInt, PositiveRange, ShareRange
from jepa_lightning.types import Batch, Masks, StepOutput


class IJEPA(LatentPrediction):
    """Image-based joint-embedding predictive architecture (arXiv 2301.08243).

    The defaults are the paper's for a ViT-B/16 at 224 px. On a few thousand small images they collapse; start there
    from ``configs/ijepa/small.yaml``. Masks and initialization are the paper's and the reference's code in turn, as
    ``legacy_masks`` and ``legacy_init`` say.

    Args:
        encoder: named size of the Vision Transformer: vit_tiny, vit_small, vit_base, vit_large, vit_huge, vit_giant,
            vit_giant_xformers, vit_gigantic or vit_gigantic_xformers; or ``timm:NAME``, or a network of your own or its
            class path, see ``EncoderModule``.
        image_size: height and width of the views in pixels, or one number for both.
        patch_size: side of a patch in pixels.
        predictor_depth: number of predictor blocks; the paper has 6 for ViT-B, 12 for L and H, 16 for G.
        num_targets: number of target blocks in an image.
        target_scale: smallest and largest area of a target block, as a share of the token grid.
        context_scale: smallest and largest area of the context block, as a share of the token grid.
        aspect_ratio: smallest and largest ratio of a target block's height to its width.
        min_keep: smallest number of tokens in a context.
        legacy_masks: draw masks as the reference does, whose blocks never reach the last row and column.
        distance: distance between predicted and target tokens. The reference's code has smooth_l1, its paper l2.
        regularizer: term that keeps the pooled context features of different images apart; None, the paper's choice,
            has no such term.
        variance: weight of the variance term, within regularizer variance_covariance and within ``content``.
        covariance: weight of the covariance term, within regularizer variance_covariance and within ``content``.
        sigreg: weight of the regularizer sigreg.
        uniformity: weight of the regularizer uniformity.
        projector_dim: width of a two-layer head between the pooled features and the regularizer; None has no head.
        num_crops: number of crops of each image, each with its own masks. Targets are predicted in the first crop;
            the others are for the regularizer.
        invariance: weight of the distance between the pooled context features of an image's crops, with a regularizer.
        flip: probability of a mirrored image; the paper mirrors none. True is one half.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%"; the default is the reference's 40 epochs of 300.
        predictor_attention: ``full`` is the paper's: the predictor computes the context again beside each target block.
            ``shared``, our own variant, is faster with several blocks: context tokens do not see mask tokens, so they
            are computed once for all blocks. It has the same parameters and learns another function.
        kwargs: size of the networks, registers, patch embedding, targets, content, crops, optimizer, schedule, EMA and
            compilation, as in ``LatentPrediction`` and ``JEPAModule``.

    Raises:
        ValueError: if the sizes or the masks do not fit each other, or several crops come without a regularizer or
            invariance without several crops.

    Example:
        >>> import torch
        >>> from jepa_lightning import IJEPA
        >>> module = IJEPA("vit_tiny", depth=2, image_size=64, patch_size=8, predictor_depth=1, predictor_dim=96)
        >>> module(torch.rand(2, 3, 64, 64)).shape  # pooled features of the target encoder
        torch.Size([2, 192])
        >>> module(torch.rand(2, 3, 64, 64), layers=(-2, -1), pool=False).shape  # tokens of two layers side by side
        torch.Size([2, 64, 384])
    """

    traits: ClassVar = Traits(
        "representation", "EMA target, predictor, masking", needs_augmentations=False, needs_negatives=False
    )

    def __init__(
        self,
        encoder: Encoder = "vit_base",
        image_size: ImageSize = 224,
        patch_size: PositiveInt = 16,
        predictor_depth: PositiveInt = 6,
        num_targets: PositiveInt = 4,
        target_scale: ShareRange = (0.15, 0.2),
        context_scale: ShareRange = (0.85, 1.0),
        aspect_ratio: PositiveRange = (0.75, 1.5),
        min_keep: PositiveInt = 10,
        legacy_masks: bool = False,
        distance: Distance = "smooth_l1",
        regularizer: RegularizerName | None = None,
        variance: NonNegativeFloat = 5.0,
        covariance: NonNegativeFloat = 1.0,
        sigreg: NonNegativeFloat = 0.05,
        uniformity: NonNegativeFloat = 1.0,
        projector_dim: PositiveInt | None = None,
        num_crops: PositiveInt = 1,
        invariance: NonNegativeFloat = 0.0,
        flip: Flip = 0.0,
        warmup: Length = 40 / 300,
        predictor_attention: PredictorAttention = "full",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, image_size, patch_size, predictor_depth=predictor_depth, distance=distance,
            variance=variance, covariance=covariance, warmup=warmup, **kwargs,
        )  # fmt: skip
        check_crops(num_crops, regularizer, invariance)
        self.flip, self.num_crops, self.predictor_attention = flip, num_crops, predictor_attention
        if regularizer is not None:
            self.least_samples = 2
        self.build_networks()
        self.masks = MultiBlockMask(
            (1, *self.grid_size)[-2:], context_scale, target_scale, aspect_ratio, num_targets, min_keep, legacy_masks
        )
        self.regularizer = build_regularizer(
            regularizer,
            self.encoder_width,
            variance=variance,
            covariance=covariance,
            sigreg=sigreg,
            uniformity=uniformity,
            invariance=invariance,
            projector=projector_dim,
        )

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: the weights of regularizers other than the one that is asked for."""
        unused, chosen = super().unused_options(options), options["regularizer"]
        if chosen == "variance_covariance":
            unused = {name: why for name, why in unused.items() if name not in ("variance", "covariance")}
        others = [name for name in ("sigreg", "uniformity") if name != chosen]
        others += [] if chosen else ["projector_dim"]
        return unused | dict.fromkeys(others, f"regularizer is {chosen}")

    def build_encoder(self) -> nn.Module:
        """The context encoder; override it for a network of your own with ``grid_size`` and ``width``."""
        return masked_encoder(self, legacy_init=self.legacy_init, levels=self.levels, norm_eps=self.norm_eps)

    def predictor_options(self) -> dict[str, Any]:
        """Whether the context is computed once for all target blocks."""
        return {"attention": self.predictor_attention}

    def pipeline(self) -> Pipeline:
        """Cropped views, each with its own multi-block masks."""
        return masked_image_pipeline(
            self.image_size, self.masks, self.crop_scale, self.flip, self.num_crops, self.mean, self.std,
            normalize=not self.normalize_on_device,
        )  # fmt: skip

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Mean distance between predicted and target blocks, plus the regularizer's term where there is one."""
        if not 1 <= len(batch.views) <= self.num_crops:
            raise ValueError(
                f"{type(self).__name__} takes at most {self.num_crops} views of an image, got {len(batch.views)}: use "
                "the transform of module.pipeline()."
            )
        self.check_size(batch.views[0])
        masks, *_ = each = self.check_masks(batch, self.num_crops, "crops")
        layers = self.encode_target(batch.views[0])  # first, since it checks the grid
        contexts = [
            self.encode_context(crop, kept)
            for crop, kept in zip(batch.views, each, strict=False)  # evaluation has one view alone
        ]
        predicted, seen = self.predict_from(contexts[0], masks)
        tokens = self.target_tokens(layers)
        loss = self.distance(predicted, blocks_of(tokens, masks)).mean()
        logs = {"prediction_loss": loss.detach(), **self.spread_of(predicted.detach(), tokens, masks)}
        if self.context_loss:
            term, logged = self.context_term([seen], tokens, [masks], batch.views[0], progress)
            loss, logs = loss + term, {**logs, **logged}
        for name, penalty in self._penalties(contexts, each).items():
            loss = loss + penalty
            logs[name] = penalty.detach()
        features, given = self.features_of(layers)
        return StepOutput(loss, features, logs, tokens=given)

    def predictions(self, batch: Batch) -> Sequence[Tensor]:
        """What the context of the first crop predicts, one ``[B, M, Kt, D]``."""
        masks, *_ = self.check_masks(batch, self.num_crops, "crops")
        context = self.encode_context(batch.views[0], masks)
        return [self.predictor(context, masks.context, masks.target)]

    def _penalties(self, contexts: Sequence[Tensor], masks: Sequence[Masks]) -> dict[str, Tensor]:
        """Terms that keep from collapse, from the context tokens of each crop, of ``encode_context``."""
        penalties = {}
        if self.regularizer is not None:
            penalties["regularizer"] = self.regularizer([self.output_of(each).mean(dim=1) for each in contexts])
        if self.content:
            penalties["content_regularizer"] = self.content_penalty(contexts, masks)
        return penalties


def check_crops(num_crops: int, regularizer: RegularizerName | None, invariance: float) -> None:
    """Refuses crops, regularizer and invariance that make no sense together.

    Raises:
        ValueError: saying what is missing.
    """
    if num_crops > 1 and regularizer is None:
        raise ValueError(
            f"num_crops={num_crops} without a regularizer: only that looks at crops after the first. Set regularizer "
            "to variance_covariance, sigreg or uniformity."
        )
    if invariance and num_crops < 2:
        raise ValueError(f"invariance={invariance} is between crops of an image: set num_crops to 2.")
