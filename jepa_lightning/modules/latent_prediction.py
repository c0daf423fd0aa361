# B batch, C channels, T H W frames, height, width, N tokens, D width, L levels, M target blocks, Kc Kt kept tokens
"""What I-JEPA and V-JEPA share: a part of the input, encoded, predicts the representation of the rest."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast, get_args

import torch
from torch import Tensor, nn

from jepa_lightning.ema import frozen_copy
from jepa_lightning.energy import Sides, energy_of
from jepa_lightning.losses import (
    ContextWeights,
    Distance,
    VarianceCovariance,
    context_loss,
    context_share,
    prediction_distance,
    token_content,
)
from jepa_lightning.losses.measures import deviation
from jepa_lightning.modules.building import building
from jepa_lightning.modules.latent_targets import LatentTargets
from jepa_lightning.modules.teacher import check_teacher
from jepa_lightning.nn import PatchEmbedding, Predictor
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.nn.norm_eps import NORM_EPS, saved_norm_eps, set_norm_eps
from jepa_lightning.options import (
    Ascending,
    ImageSize,
    NonNegativeFloat,
    PositiveInt,
    Registers,
    Share,
    ShareBelowOne,
    ShareRange,
)
from jepa_lightning.types import Batch, Masks


class LatentPrediction(LatentTargets):
    """Base of the joint-embedding predictive architectures.

    A subclass builds the encoder, says what is masked in ``pipeline``, and writes ``objective``.

    Args:
        encoder: a named size: vit_tiny, vit_small, vit_base, vit_large, vit_huge, vit_giant,
            vit_giant_xformers (V-JEPA 2's ViT-g), vit_gigantic or vit_gigantic_xformers (V-JEPA 2.1's ViT-G); or
            ``timm:NAME``, a network of your own, or the class path of one, see ``EncoderModule``.
        image_size: height and width of the input in pixels, or one number for both.
        patch_size: side of a patch in pixels.
        width: width of the tokens, instead of that of the named size.
        depth: number of encoder blocks, instead of that of the named size.
        heads: attention heads of the encoder, instead of those of the named size.
        predictor_depth: number of predictor blocks.
        predictor_dim: width of the predictor's tokens.
        predictor_heads: attention heads of the predictor; None takes as many as the encoder has, as the reference does.
        distance: distance between predicted and target tokens.
        context_loss: weight of the loss on the context tokens, which a second head of the predictor predicts too;
            V-JEPA 2.1 (arXiv 2603.14482) has 0.5, with ``levels``. It makes tokens good for dense tasks.
        context_warmup: shares of the run at which the weight of the loss on the context leaves 0, and is reached.
        context_weights: whether context tokens count less with the root of their ``distance`` to the nearest target
            token, or all alike, ``uniform``.
        content: weight of the variance and covariance terms on the content of context tokens: what is left of them when
            the mean of their position is taken away. Keeps samples apart at every position.
        variance: weight of the variance term within ``content``.
        covariance: weight of the covariance term within ``content``.
        crop_scale: smallest and largest area of a random crop, as a share of the image.
        drop_path: stochastic depth rate of the context encoder's last block.
        legacy_init: initialize all weights from N(0, 0.02), as the reference effectively does; this keeps features
            best. False scales patch embeddings to the positions, and output projections with depth
            (``nn.init.init_weights``).
        gradient_checkpointing: compute blocks again in the backward pass, which takes less memory and more time.
        norm_eps: eps of the layer norms of encoders and predictor. None takes that of the weights that a run starts
            from, or 1e-6.
        registers: number of learned tokens beside those of the patches in the encoder of a named size (arXiv
            2309.16588, which has 4). They have no position, are in every context and target whatever the mask, and
            predictor, probes and features see patch tokens alone.
        patch_embedding: ``linear``, or for images ``convolutional``, which has two convolutions within each patch
            before its projection (``nn.ConvPatchEmbed``); either sees no pixel of another patch.
        kwargs: targets and teacher, as in ``LatentTargets``; channels see ``EncoderModule``; optimizer, schedule, EMA
            and compilation, as in ``JEPAModule``.

    Raises:
        ValueError: if the encoder or the distance is unknown, if ``target_layers`` or ``levels`` are not blocks of the
            encoder, or if a teacher does not fit it.

    Example:
        >>> import torch
        >>> from jepa_lightning import IJEPA
        >>> class CharbonnierIJEPA(IJEPA):  # another distance between predicted and target tokens
        ...     def distance(self, predicted, target):
        ...         return ((predicted - target).square() + 1e-6).sqrt().mean(dim=(1, 2, 3))
        >>> module = CharbonnierIJEPA("vit_tiny", depth=1, image_size=64, patch_size=8, predictor_dim=96)
        >>> pipeline = module.pipeline()
        >>> images = torch.randint(0, 256, (4, 3, 80, 80), dtype=torch.uint8)
        >>> batch = pipeline.collate([pipeline.eval_transform(image) for image in images])
        >>> module.energy(batch).shape
        torch.Size([4])
    """

    def __init__(
        self,
        encoder: Encoder,
        image_size: ImageSize,
        patch_size: PositiveInt,
        width: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        heads: PositiveInt | None = None,
        predictor_depth: PositiveInt = 6,
        predictor_dim: PositiveInt = 384,
        predictor_heads: PositiveInt | None = None,
        distance: Distance = "smooth_l1",
        context_loss: NonNegativeFloat = 0.0,
        context_warmup: Annotated[tuple[Share, Share], Ascending()] = (0.11, 0.22),
        context_weights: ContextWeights = "distance",
        content: NonNegativeFloat = 0.0,
        variance: NonNegativeFloat = 5.0,
        covariance: NonNegativeFloat = 1.0,
        crop_scale: ShareRange = (0.3, 1.0),
        drop_path: ShareBelowOne = 0.0,
        legacy_init: bool = True,
        gradient_checkpointing: bool = False,
        norm_eps: NonNegativeFloat | None = None,
        registers: Registers = 0,
        patch_embedding: PatchEmbedding = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, **kwargs)
        self.size = self.named_size(width=width, depth=depth, heads=heads)
        if self.size is None:
            self.refuse_overrides(norm_eps=norm_eps)
        self.norm_eps = NORM_EPS if norm_eps is None else norm_eps
        if distance not in get_args(Distance):
            raise ValueError(f"there is no distance '{distance}': choose one of {', '.join(get_args(Distance))}.")
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.patch_size, self.crop_scale, self.drop_path = patch_size, crop_scale, drop_path
        self.predictor_depth, self.predictor_dim = predictor_depth, predictor_dim
        self.predictor_heads = predictor_heads
        self.registers, self.patch_embedding = registers, patch_embedding
        self.legacy_init, self.gradient_checkpointing = legacy_init, gradient_checkpointing
        self.distance_name = distance
        self.context_loss, self.context_warmup, self.context_weights = context_loss, context_warmup, context_weights
        self.least_samples = 2 if content else 1
        self.content, self.content_statistic = content, VarianceCovariance(variance, covariance, gather=True)

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: the weights of terms that are not asked for."""
        unused = super().unused_options(options)
        if not options["content"]:
            unused |= dict.fromkeys(("variance", "covariance"), "content is 0")
        if not options["context_loss"]:
            unused |= dict.fromkeys(("context_warmup", "context_weights"), "context_loss is 0")
        return unused

    def build_networks(self) -> None:
        """Builds context encoder, target encoder and predictor; a subclass calls it last in its ``__init__``.

        So ``IJEPA`` and ``VJEPA`` have built them when ``super().__init__()`` returns: what an overridden
        ``build_encoder`` or ``build_predictor`` reads from ``self`` is set before that call.
        """
        with building(self):
            self.context_encoder = self.build_encoder()
            self.check_layers(self.size.depth if self.size else getattr(self.context_encoder, "depth", None))
            if self.teacher is not None:
                check_teacher(self.teacher, self.context_encoder)
            self.target_encoder = frozen_copy(self.context_encoder)
            self.predictor = self.build_predictor()

    def build_encoder(self) -> nn.Module:
        """The context encoder; override it for a network of your own with ``grid_size`` and ``width``."""
        raise NotImplementedError

    def build_predictor(self) -> nn.Module:
        """The predictor; called as ``predictor(context, masks.context, masks.target, mask_index)``."""
        return Predictor(
            self.grid_size,
            self.encoder_width,
            self.predictor_dim,
            self.predictor_depth,
            self.predictor_heads or self._encoder_heads(),
            legacy_init=self.legacy_init,
            gradient_checkpointing=self.gradient_checkpointing,
            out_width=None if self.teacher is None else self.teacher.width,
            num_levels=len(self.levels or (-1,)),
            context_head=bool(self.context_loss),
            norm_eps=self.norm_eps,
            **self.predictor_options(),
        )

    def predictor_options(self) -> dict[str, Any]:
        """What a method asks of ``Predictor`` beyond its size."""
        return {}

    def take_norm_eps(self, eps: float) -> None:
        """Takes the eps of the norms of weights that are loaded; checkpoints then hold it.

        Args:
            eps: of these norms.

        Raises:
            ValueError: if another one was given.
        """
        if eps == self.norm_eps:
            return
        if self.hparams["norm_eps"] is not None:
            raise ValueError(
                f"norm_eps is {self.norm_eps:g}, and the norms of the weights have {eps:g}: leave norm_eps out."
            )
        self.norm_eps = self.hparams["norm_eps"] = eps
        set_norm_eps((self.context_encoder, self.target_encoder, self.predictor), eps)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Beside the base: takes the eps of the norms, where none was given."""
        super().on_load_checkpoint(checkpoint)
        if self.hparams["norm_eps"] is None:
            self.take_norm_eps(saved_norm_eps(checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY)))

    @property
    def eval_encoder(self) -> nn.Module:
        """The target encoder, which the papers evaluate."""
        return self.target_encoder

    def ema_pairs(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Context and target encoder."""
        return ((self.context_encoder, self.target_encoder),)

    def _encoder_heads(self) -> int:
        heads = self.size.heads if self.size else getattr(self.context_encoder, "heads", None)
        return heads if isinstance(heads, int) else max(1, self.predictor_dim // 32)

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Distance of ``[B, M, Kt, D]`` predicted and target tokens for each sample: ``[B]``."""
        return prediction_distance(predicted, target, self.distance_name)

    def predictions(self, batch: Batch) -> Sequence[Tensor]:
        """What the contexts of the first view predict, ``[B, M, Kt, D]`` for each of the masks that an energy is of."""
        raise NotImplementedError

    def sides(self, batch: Batch) -> Sides:
        """What the contexts of the first view predict, and the target tokens of the last, ``[B, N, D]``."""
        target = self.target_tokens(self.encode_target(batch.views[-1]))  # first, since it checks the grid
        return Sides(self.predictions(batch), target)

    def energy(self, batch: Batch) -> Tensor:
        """Distance between what the contexts of the first view predict and the target blocks of the last, ``[B]``.

        A training batch of several crops holds no true pair in this sense: give it ``views[:1]``.
        """
        return energy_of(self.sides(batch), batch.masks, self.distance)

    def encode_context(self, view: Tensor, masks: Masks) -> Tensor:
        """Context tokens ``[B, Kc, D]``, or with levels ``[B, Kc, L * D]``, of which the last D are the output."""
        if self.levels is None:
            return cast(Tensor, self.context_encoder(view, keep=masks.context))
        return torch.cat(self.context_encoder(view, keep=masks.context, layers=self.levels), dim=-1)

    def predict_from(self, context: Tensor, masks: Masks, **options: Any) -> tuple[Tensor, Tensor | None]:
        """What a context predicts of the target blocks, and of itself where there is a loss on that.

        Args:
            context: of ``encode_context``.
            masks: its own.
            options: of the predictor.

        Returns:
            ``[B, M, Kt, L * D]``, and ``[B, M, Kc, L * D]`` or None.
        """
        if not self.context_loss:
            return self.predictor(context, masks.context, masks.target, **options), None
        found = self.predictor(context, masks.context, masks.target, with_context=True, **options)
        return cast(tuple[Tensor, Tensor], found)

    def context_term(
        self, seen: Sequence[Tensor | None], tokens: Tensor, masks: Sequence[Masks], view: Tensor, progress: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss on context tokens with the weight of this moment, and what is logged of it.

        Args:
            seen: what is predicted of them, by ``predict_from``, for each kind of masks.
            tokens: of ``target_tokens``.
            masks: of each kind.
            view: that they are of.
            progress: share of the run that is done.
        """
        pairs = [(found, kind) for found, kind in zip(seen, masks, strict=False) if found is not None]
        grid, weights = self.grid_of(view), self.context_weights
        loss = torch.stack(
            [context_loss(found, tokens, kind, grid, self.distance, weights) for found, kind in pairs]
        ).mean()
        # at a weight of 0 too: all parameters have gradients in every step, which DDP and FSDP wait for
        weight = self.context_loss * context_share(progress, self.context_warmup)
        return weight * loss, {"context_loss": loss.detach()}

    def spread_of(self, predicted: Tensor, tokens: Tensor, masks: Masks) -> dict[str, Tensor]:
        """How much predictions and targets differ between images at the same position; empty for a single image.

        Both fall to 0 if images are no longer told apart, even if positions are.

        Args:
            predicted: ``[B, M, Kt, L * D]``.
            tokens: ``[B, N, L * D]`` target tokens of the whole view.
            masks: where the predictions stand.

        Returns:
            ``target_std``, the standard deviation over the batch, averaged over N and D, and ``prediction_std``, the
            root of the variance of predictions around the mean of their position. Both are unbiased.
        """
        if len(tokens) < 2:
            return {}
        positions, number = masks.target.flatten(1), math.prod(self.grid_size)
        content = token_content(predicted.flatten(1, 2), positions, number)
        means_taken = torch.zeros(number, device=content.device).index_fill(0, positions.flatten(), 1.0).sum()
        variance = content.square().mean(dim=1).sum() / (len(content) - means_taken).clamp_min(1)
        return {"prediction_std": variance.sqrt(), "target_std": deviation(tokens)}

    def output_of(self, context: Tensor) -> Tensor:
        """The output of the encoder ``[B, Kc, D]`` among the levels of ``encode_context``."""
        return context if self.levels is None else context[..., -self.encoder_width :]

    def content_penalty(self, contexts: Sequence[Tensor], masks: Sequence[Masks]) -> Tensor:
        """The weighted terms on the content of context tokens, of ``encode_context``: a scalar."""
        spread = [
            self.content_statistic(
                token_content(self.output_of(context), kept.context, math.prod(self.grid_size), gather=True)
            )
            for context, kept in zip(contexts, masks, strict=False)  # evaluation may have fewer views than masks
        ]
        return self.content * torch.stack(spread).mean()

    def check_size(self, view: Tensor) -> None:
        """Refuses a view that the masks are not for.

        Raises:
            ValueError: if its size is not the one that the encoder is built for.
        """
        built: tuple[int, ...] = getattr(self.context_encoder, "input_size", tuple(view.shape[2:]))
        if tuple(view.shape[2:]) != built:
            given, wanted = ("x".join(map(str, size)) for size in (view.shape[2:], built))
            # the data chooses its views by itself
            other = len(view.shape[2:]) != len(built)
            clips = (
                "give images, or train VJEPA on clips" if len(built) == 2 else "give clips, or train IJEPA on images"
            )
            raise ValueError(
                f"{type(self).__name__} is built for views of {wanted}, got {given}: "
                f"{clips if other else 'use the transform of module.pipeline()'}."
            )

    def check_masks(self, batch: Batch, number: int, per: str) -> tuple[Masks, ...]:
        """The masks of a batch.

        Raises:
            ValueError: if their number is another one.
        """
        if len(batch.masks) != number:
            raise ValueError(
                f"{type(self).__name__} needs masks in its batch for {number} {per}, got {len(batch.masks)}: "
                "collate with module.pipeline().collate."
            )
        return batch.masks
