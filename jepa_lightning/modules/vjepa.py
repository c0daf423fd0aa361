# B batch, C channels, T H W frames, height, width, N tokens, D width, M target blocks, Kc Kt kept tokens
"""V-JEPA: predict the representations of blocks of space and time of a clip from the rest of it.

Source: arXiv 2404.08471; V-JEPA 2, with rotary positions: arXiv 2506.09985; V-JEPA 2.1, with levels, a loss on the
context, and images beside clips: arXiv 2603.14482.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.videos.clips import ClipSampler, masked_video_pipeline
from jepa_lightning.losses import Distance, prediction_distance
from jepa_lightning.losses.measures import deviation
from jepa_lightning.masking.clip_masks import check_kinds, clip_masks
from jepa_lightning.modules.building import masked_encoder
from jepa_lightning.modules.images_and_clips import ImagesAndClips
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import RopeStyle, blocks_of
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.options import (
    EMARange,
    Flip,
    ImageSize,
    Interval,
    LearningRate,
    Length,
    PositiveFloat,
    PositiveInt,
    PositiveRange,
    PositiveShare,
)
from jepa_lightning.types import Batch, Masks, StepOutput


class VJEPA(ImagesAndClips):
    """Video joint-embedding predictive architecture (arXiv 2404.08471), and its versions 2 and 2.1.

    The defaults are the first version's for ViT-L/16 on 16 frames of 224 px. Each step has several kinds of masks: the
    target encoder sees the clip once, the context encoder once for each kind.

    What differs from the reference: frames are resized with antialiasing, which it does without. It clips the gradients
    of encoder and predictor separately, to a norm of 10, from its 41st epoch on; the Trainer's ``gradient_clip_val=10``
    clips them together and from the start. The second version's weighted mixture of images and videos is left to your
    data set.

    Version 2 (arXiv 2506.09985) is ``rope=True``. Version 2.1 (arXiv 2603.14482) has ``levels``, ``context_loss=0.5``,
    ``rope_grid=16`` and ``images=True`` too, for data such as ``MixedDataModule``; ``configs/vjepa`` has all versions.

    Args:
        encoder: named size of the Vision Transformer: vit_tiny, vit_small, vit_base, vit_large, vit_huge, vit_giant,
            vit_giant_xformers, vit_gigantic or vit_gigantic_xformers; or ``timm:NAME``, or a network of your own or its
            class path, see ``EncoderModule``.
        image_size: height and width of the frames in pixels, or one number for both.
        patch_size: side of a patch in pixels.
        num_frames: number of frames in a clip; 1 makes it a model of images.
        tubelet_size: number of frames in a token.
        frame_step: frames of the video from one frame of the clip to the next, where ``fps`` is None. The reference
            rounds 16 moments spread over 64 frames, 4 or 5 apart.
        fps: frames of the clip per second, chosen by the time of each frame, instead of ``frame_step``; the second
            version has 4, and rounds the step to whole frames.
        num_blocks: number of blocks in a mask, for each kind of mask. Blocks extend over all frames.
        spatial_scale: area of a block as a share of the frame, for each kind of mask.
        aspect_ratio: smallest and largest ratio of a block's height to its width.
        context_share: share of the frames, counted from the first, that contexts may lie in; all later frames are
            predicted.
        causal_frames: smallest and largest number of context tubelets for a further kind of mask, which predicts all
            later tubelets from the first ones; None has no such kind.
        min_keep: smallest number of tokens in a context.
        legacy_masks: draw masks as the reference does, whose contexts rarely hold the last frames.
        rope: use rotary positions, which the second version has, instead of sin-cos tables.
        rope_style: kind of rotary positions: ``exact``, which version 2.1 has, or ``vjepa2``, which the released
            weights of V-JEPA 2 need, whose angles are tiled over the channels.
        rope_grid: rows and columns that rotary positions are spread over, whatever the grid; version 2.1 has 16, the
            grid of 256 px. None counts tokens.
        uniform_power: give time, rows and columns equal numbers of channels in the sin-cos table; False gives time one
            half and rows and columns a quarter each.
        predictor_depth: number of predictor blocks.
        distance: distance between predicted and target tokens.
        loss_exponent: exponent p of the distance l1, which is ``|difference|^p / p``.
        flip: probability of a mirrored clip; True is one half.
        eval_clips: number of clips of a video in evaluation, spread over its length; features are averaged over them.
        eval_crops: number of crops of each clip in evaluation, spread over the longer side of the frame.
        lr: peak learning rate; the reference's for its batch of 3,072 clips.
        ema: decay of the target at the first and the last step. The reference's goes to 1, of which its run sees four
            fifths, as of the learning rate. The second version has 0.99925 for both.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%"; the default is the reference's 12,000 steps of 90,000.
        schedule_stretch: learning rate and weight decay follow the schedule of a run that is this many times as long,
            and stop at the end of this one; 1.25 is the reference's.
        kwargs: images, as in ``ImagesAndClips``; size of the networks, registers, patch embedding, targets, levels,
            loss on the context, content, crops, optimizer, schedule and compilation, as in ``LatentPrediction`` and
            ``JEPAModule``.

    Raises:
        ValueError: if the sizes or the masks do not fit each other, or ``images`` is for an encoder without clips.

    Example:
        >>> import torch
        >>> from jepa_lightning import VJEPA
        >>> module = VJEPA(
        ...     "vit_tiny", depth=1, image_size=32, patch_size=8, num_frames=8, predictor_depth=1, predictor_dim=96
        ... )
        >>> module(torch.rand(2, 3, 8, 32, 32)).shape
        torch.Size([2, 192])
    """

    traits: ClassVar = Traits(
        "representation", "EMA target, predictor, masking", needs_augmentations=False, needs_negatives=False
    )
    media_axes: ClassVar = 4

    def __init__(
        self,
        encoder: Encoder = "vit_large",
        image_size: ImageSize = 224,
        patch_size: PositiveInt = 16,
        num_frames: PositiveInt = 16,
        tubelet_size: PositiveInt = 2,
        frame_step: PositiveInt = 4,
        fps: PositiveFloat | None = None,
        num_blocks: tuple[PositiveInt, ...] = (8, 2),
        spatial_scale: tuple[PositiveShare, ...] = (0.15, 0.7),
        aspect_ratio: PositiveRange = (0.75, 1.5),
        context_share: PositiveShare = 1.0,
        causal_frames: tuple[PositiveInt, PositiveInt] | None = None,
        min_keep: PositiveInt = 10,
        legacy_masks: bool = False,
        rope: bool = False,
        rope_style: RopeStyle = "exact",
        rope_grid: PositiveInt | None = None,
        uniform_power: bool = True,
        predictor_depth: PositiveInt = 12,
        distance: Distance = "l1",
        loss_exponent: PositiveFloat = 1.0,
        flip: Flip = 0.5,
        eval_clips: PositiveInt = 1,
        eval_crops: PositiveInt = 1,
        lr: LearningRate = 6.25e-4,
        ema: EMARange = (0.998, 0.9996),
        warmup: Length = 40 / 300,
        schedule_stretch: Annotated[float, Interval("[1, 1e6]")] = 1.25,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, image_size, patch_size, predictor_depth=predictor_depth, distance=distance,
            lr=lr, ema=ema, warmup=warmup, schedule_stretch=schedule_stretch, **kwargs,
        )  # fmt: skip
        check_kinds(num_blocks, spatial_scale, causal_frames)
        self.num_frames, self.tubelet_size, self.flip = num_frames, tubelet_size, flip
        self.eval_clips, self.eval_crops = eval_clips, eval_crops
        self.rope_style, self.rope_grid, self.uniform_power = rope_style if rope else None, rope_grid, uniform_power
        self.loss_exponent, self.num_kinds = loss_exponent, len(num_blocks) + (causal_frames is not None)
        self.sampler = ClipSampler(num_frames, frame_step, fps)
        self.build_networks()
        self.masks = clip_masks(
            (1, *self.grid_size)[-3:], num_blocks, spatial_scale, causal_frames, aspect_ratio=aspect_ratio,
            context_share=context_share, min_keep=min_keep, legacy=legacy_masks,
        )  # fmt: skip
        self.draw_image_masks(aspect_ratio=aspect_ratio, min_keep=min_keep, legacy=legacy_masks)

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: options of positions, masks and frames that are not asked for."""
        unused = super().unused_options(options)
        rotary = dict.fromkeys(("rope_style", "rope_grid"), "rope is False")
        unused |= {"uniform_power": "rope is True"} if options["rope"] else rotary
        if options["fps"] is not None:
            unused["frame_step"] = "fps is given"
        if options["distance"] != "l1":
            unused["loss_exponent"] = "only the distance l1 has one"
        if options["num_frames"] == 1:
            unused["tubelet_size"] = "num_frames is 1"
        if not options["num_blocks"]:
            of_images = () if options["images"] else ("aspect_ratio", "legacy_masks")
            unused |= dict.fromkeys(("context_share", *of_images), "num_blocks is empty")
        return unused

    def build_encoder(self) -> nn.Module:
        """The context encoder; override it for a network of your own with ``grid_size`` and ``width``."""
        if self.size is None and self.num_frames > 1 and isinstance(self.encoder_option, str):
            raise ValueError(
                f"{self.encoder_option} takes images, and num_frames is {self.num_frames}: set it to 1, or use IJEPA."
            )
        if self.images and (self.size is None or self.num_frames == 1):
            raise ValueError(
                f"images=True is for the named encoders of clips, and this is {self.encoder_label} with num_frames="
                f"{self.num_frames}: leave it out."
            )
        options = {"num_frames": self.num_frames, "tubelet_size": self.tubelet_size, "legacy_init": self.legacy_init}
        return masked_encoder(self, levels=self.levels, norm_eps=self.norm_eps, **options, **self._shared_options())

    def predictor_options(self) -> dict[str, Any]:
        """Positions and modalities as in the encoder, and a mask token for each kind of mask."""
        return {"num_mask_tokens": self.num_kinds, **self._shared_options()}

    def _shared_options(self) -> dict[str, Any]:
        """What encoder and predictor are both told."""
        return {
            "pos_order": "hw",
            "pos_uniform": self.uniform_power,
            "rope": self.rope_style,
            "rope_grid": self.rope_grid,
            "images": self.images,
        }

    def pipeline(self) -> Pipeline:
        """Cropped and mirrored clips, or images where there is one frame, with all kinds of masks."""
        return masked_video_pipeline(
            self.image_size,
            self.sampler,
            self.masks,
            self.crop_scale,
            flip=self.flip,
            mean=self.mean,
            std=self.std,
            eval_clips=self.eval_clips,
            eval_crops=self.eval_crops,
            normalize=not self.normalize_on_device,
        )

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Distance of ``[B, M, Kt, D]`` predicted and target tokens for each clip: ``[B]``."""
        return prediction_distance(predicted, target, self.distance_name, self.loss_exponent)

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Mean distance between predicted and target tokens, over the kinds of masks."""
        if self.training and len(batch.views) != 1:
            raise ValueError(
                f"{type(self).__name__} takes one view of a clip, got {len(batch.views)}: use the transform of "
                "module.pipeline()."
            )
        self.check_size(batch.views[0])
        view = batch.views[0]
        masks = self.check_masks(batch, self._kinds_of(view), "kinds")
        layers = self.encode_target(view)
        tokens = self.target_tokens(layers)
        contexts, predicted, seen = zip(*(self._predict(view, kind, i) for i, kind in enumerate(masks)), strict=True)
        distances = torch.stack(
            [self.distance(each, blocks_of(tokens, kind)).mean() for each, kind in zip(predicted, masks, strict=True)]
        )
        loss, modality = distances.mean(), "image_" if self.takes_as_image(view) else ""
        logs = {f"{modality}prediction_loss_{kind}": each.detach() for kind, each in enumerate(distances)}
        if len(tokens) > 1:
            logs |= {f"{modality}{name}": std for name, std in self._spread(layers).items()}
        if self.context_loss:
            term, logged = self.context_term(seen, tokens, masks, view, progress)
            loss, logs = loss + term, logs | {f"{modality}{name}": value for name, value in logged.items()}
        if self.content:
            penalty = self.content_penalty(contexts, masks)
            loss = loss + penalty
            logs[f"{modality}content_regularizer"] = penalty.detach()
        features, given = self.features_of(layers)
        return StepOutput(self.image_weight * loss if modality else loss, features, logs, tokens=given)

    def predictions(self, batch: Batch) -> Sequence[Tensor]:
        """What the contexts of the first view predict, ``[B, M, Kt, D]`` for each kind of mask."""
        masks = self.check_masks(batch, self._kinds_of(batch.views[0]), "kinds")
        return [self._predict(batch.views[0], kind, number)[1] for number, kind in enumerate(masks)]

    def distance_given(self, tokens: Tensor, view: Tensor, masks: Masks, kind: int) -> Tensor:
        """Distance between what the context of a view predicts and the targets among given tokens.

        Args:
            tokens: ``[B, N, D]``, of ``target_tokens``.
            view: ``[B, C, T, H, W]``.
            masks: which tokens are context, and which are target.
            kind: whose mask token stands for the targets.

        Returns:
            ``[B]``.
        """
        return self.distance(self._predict(view, masks, kind)[1], blocks_of(tokens, masks))

    def _kinds_of(self, view: Tensor) -> int:
        """Number of kinds of masks; images have one."""
        return 1 if self.takes_as_image(view) else self.num_kinds

    def _spread(self, layers: Sequence[Tensor]) -> dict[str, Tensor]:
        """Standard deviation between samples, at each position, of the output and of each level of the targets."""
        stds = [deviation(tokens) for tokens in layers]
        levels = {f"target_std_{level}": std for level, std in zip(self.levels or (), stds, strict=False)}
        return {"target_std": stds[-1], **levels}

    def _predict(self, view: Tensor, masks: Masks, kind: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Context, of ``encode_context``, and what it predicts, of ``predict_from``."""
        context = self.encode_context(view, masks)
        options = {"image": self.takes_as_image(view)} if self.images else {}
        return context, *self.predict_from(context, masks, mask_index=kind, **options)
