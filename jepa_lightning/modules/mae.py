# B batch, C channels, H W height and width, N tokens, Kt masked tokens, D width, p side of a patch
"""MAE, arXiv 2111.06377."""

from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from jepa_lightning.data.pipelines import Interpolation, Pipeline, masked_image_pipeline
from jepa_lightning.energy import Sides, energy_of
from jepa_lightning.features import eval_mode
from jepa_lightning.losses import prediction_distance
from jepa_lightning.masking import RandomMask
from jepa_lightning.modules.building import building, masked_encoder
from jepa_lightning.modules.encoder_module import EncoderModule
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import PatchEmbedding, Predictor, init_xavier_weights, patchify
from jepa_lightning.nn import grid_size as grid_of
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.options import (
    FinalRate,
    Flip,
    ImageSize,
    LearningRate,
    Length,
    NonNegativeFloat,
    OpenShare,
    PositiveInt,
    Registers,
    ShareBelowOne,
    ShareRange,
)
from jepa_lightning.types import Batch, StepOutput


class MAE(EncoderModule):
    """A light decoder rebuilds the pixels of masked patches from the tokens of the others.

    There is no class token: features are the mean over patch tokens. The defaults are the paper's for a ViT-B/16 on
    ImageNet-1k.

    Args:
        encoder: a named size, ``timm:NAME``, a network of your own, or its class path, see ``EncoderModule``.
        image_size: height and width of the view in pixels, or one number for both.
        patch_size: p, the side of a patch in pixels.
        width: width of the encoder's tokens, instead of that of the named size.
        depth: number of encoder blocks, instead of that of the named size.
        heads: attention heads of the encoder, instead of those of the named size.
        mask_ratio: share of the patches that are masked.
        decoder_depth: number of decoder blocks.
        decoder_dim: width of the decoder's tokens.
        decoder_heads: attention heads of the decoder.
        normalize_pixels: standardize the pixels of each target patch by the patch's own mean and variance.
        crop_scale: smallest and largest area of a random crop, as a share of the image.
        flip: probability of a mirrored image; True is one half.
        drop_path: stochastic depth rate of the encoder's last block.
        gradient_checkpointing: compute blocks again in the backward pass, which takes less memory and more time.
        interpolation: interpolation of resized images, bilinear or bicubic.
        init: ``xavier`` starts weights from Xavier's uniform distribution, as the paper does; ``normal`` from N(0,
            0.02), as the other transformers here.
        lr: peak learning rate. The default is the paper's for a batch of 4,096 images on all devices; its rule for
            other batches is 0.00015 x batch / 256.
        final_lr: learning rate of the last step.
        weight_decay: weight decay of all weights but biases and norms.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%"; the default is the paper's 40 epochs of 800.
        betas: decay rates of the optimizer's moving averages; None takes the optimizer's own defaults.
        start_lr: learning rate of the first step.
        final_weight_decay: weight decay of the last step, reached along a cosine; None keeps ``weight_decay`` in the
            whole run.
        registers: number of learned tokens beside those of the patches in the encoder of a named size (arXiv
            2309.16588, which has 4). They have no position, are in every view whatever the mask, and decoder, probes
            and features see patch tokens alone.
        patch_embedding: ``linear``, or for images ``convolutional``, which has two convolutions within each patch
            before its projection (``nn.ConvPatchEmbed``); either sees no pixel of another patch.
        kwargs: channels see ``EncoderModule``; optimizer, schedule and compilation, as in ``JEPAModule``.

    Raises:
        ValueError: if the sizes or the masks do not fit each other.

    Example:
        >>> import torch
        >>> from jepa_lightning import MAE
        >>> module = MAE("vit_tiny", depth=1, image_size=32, patch_size=8, decoder_depth=1)
        >>> module(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 192])
    """

    traits: ClassVar = Traits("pixels", "reconstruction", needs_augmentations=False, needs_negatives=False)
    can_fragment: ClassVar = False  # pixels stay what they are
    paper_batch = 4096

    def __init__(
        self,
        encoder: Encoder = "vit_base",
        image_size: ImageSize = 224,
        patch_size: PositiveInt = 16,
        width: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        heads: PositiveInt | None = None,
        mask_ratio: OpenShare = 0.75,
        decoder_depth: PositiveInt = 8,
        decoder_dim: PositiveInt = 512,
        decoder_heads: PositiveInt = 16,
        normalize_pixels: bool = True,
        crop_scale: ShareRange = (0.2, 1.0),
        flip: Flip = 0.5,
        drop_path: ShareBelowOne = 0.0,
        gradient_checkpointing: bool = False,
        interpolation: Interpolation = "bicubic",
        init: Literal["xavier", "normal"] = "xavier",
        lr: LearningRate = 2.4e-3,
        final_lr: FinalRate = 0.0,
        weight_decay: NonNegativeFloat = 0.05,
        warmup: Length = 0.05,
        betas: tuple[ShareBelowOne, ShareBelowOne] | None = (0.9, 0.95),
        start_lr: FinalRate = 0.0,
        final_weight_decay: NonNegativeFloat | None = None,
        registers: Registers = 0,
        patch_embedding: PatchEmbedding = "linear",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, lr=lr, start_lr=start_lr, final_lr=final_lr, weight_decay=weight_decay,
            final_weight_decay=final_weight_decay, warmup=warmup, betas=betas, **kwargs,
        )  # fmt: skip
        if decoder_dim % decoder_heads:
            raise ValueError(f"decoder_dim={decoder_dim} is not a multiple of decoder_heads={decoder_heads}.")
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.patch_size, self.normalize_pixels = patch_size, normalize_pixels
        self.crop_scale, self.flip, self.interpolation = crop_scale, flip, interpolation
        self.size = self.named_size(width=width, depth=depth, heads=heads)
        self.drop_path, self.gradient_checkpointing = drop_path, gradient_checkpointing
        self.registers, self.patch_embedding = registers, patch_embedding
        self.decoder_size = (decoder_dim, decoder_depth, decoder_heads)
        with building(self):
            self.encoder = self.build_encoder()
            self.decoder = self.build_decoder()
        if init == "xavier":
            init_xavier_weights(self.decoder)
            if self.size is not None:  # other encoders bring their weights
                init_xavier_weights(self.encoder)
        self.masks = RandomMask(self.grid_size, mask_ratio)
        self._grid_is_checked = self.size is not None

    def build_encoder(self) -> nn.Module:
        """The encoder; override it for a network of your own with ``grid_size`` and ``width``."""
        return masked_encoder(self)

    def build_decoder(self) -> nn.Module:
        """The decoder; called as ``decoder(context, masks.context, masks.target)``, and gives pixels of patches.

        Raises:
            ValueError: if patches of ``patch_size`` do not make the grid of the encoder's tokens.
        """
        if self.grid_size != grid_of(self.image_size, (self.patch_size, self.patch_size)):
            raise ValueError(
                f"the encoder has a grid of {self.grid_size} tokens, and patches of patch_size={self.patch_size} do "
                f"not make one of images of {self.image_size}: set patch_size to the side of the encoder's patches."
            )
        return Predictor(
            self.grid_size,
            cast(int, self.encoder.width),
            *self.decoder_size,
            gradient_checkpointing=self.gradient_checkpointing,
            out_width=self.in_channels * self.patch_size**2,
        )

    @property
    def grid_size(self) -> tuple[int, ...]:
        """Tokens along each axis of the grid."""
        return tuple(cast(tuple[int, ...], self.encoder.grid_size))

    @property
    def eval_encoder(self) -> nn.Module:
        """The encoder; it sees whole images then."""
        return self.encoder

    def pipeline(self) -> Pipeline:
        """Cropped and mirrored views with random masks. Source: appendix A.1."""
        return masked_image_pipeline(
            self.image_size,
            self.masks,
            self.crop_scale,
            self.flip,
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
            normalize=not self.normalize_on_device,
        )

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Squared error of the masked patches; no full view is encoded, so there are no features."""
        self._check(batch, views=1)
        return StepOutput(energy_of(self.sides(batch), batch.masks, self.distance).mean(), None, {})

    def energy(self, batch: Batch) -> Tensor:
        """Squared error between what the first view's context predicts and the last view's masked patches, ``[B]``."""
        return energy_of(self.sides(batch), batch.masks, self.distance)

    def sides(self, batch: Batch) -> Sides:
        """What the first view's context predicts, one ``[B, 1, Kt, C * p * p]``, and all patches of the last view."""
        self._check(batch, views=2)
        (masks,) = batch.masks
        for view in batch.views:
            # the tokens of another grid would be taken for those of this one
            if tuple(view.shape[-2:]) != tuple(self.image_size):
                raise ValueError(
                    f"{type(self).__name__} takes views of image_size={self.image_size}, got {tuple(view.shape[-2:])}: "
                    "transform with module.pipeline()."
                )
        if not self._grid_is_checked:
            self._check_grid(batch.views[0][:1])
        context = self.encoder(batch.views[0], keep=masks.context)
        patches = patchify(batch.views[-1], self.patch_size)
        if self.normalize_pixels:
            mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True)
            patches = (patches - mean) / (variance + 1e-6).sqrt()
        return Sides([self.decoder(context, masks.context, masks.target)], patches)

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Squared error of ``[B, 1, Kt, C * p * p]`` predicted patches, a mean over patches and pixels: ``[B]``."""
        return prediction_distance(predicted, target, "l2")

    def _check(self, batch: Batch, views: int) -> None:
        """Refuses what is no batch of masked images.

        Raises:
            ValueError: if the batch has more views, or another number of masks than one.
        """
        if len(batch.masks) != 1 or len(batch.views) > views:
            raise ValueError(
                f"{type(self).__name__} takes one view with one mask, got {len(batch.views)} and {len(batch.masks)}: "
                "collate with module.pipeline().collate."
            )

    @torch.no_grad()
    def _check_grid(self, view: Tensor) -> None:
        """Refuses an encoder whose grid is another one than it says, which masks would index beyond its end."""
        with eval_mode(self.encoder):
            self.check_tokens(self.encoder(view), self.grid_size, cast(int, self.encoder.width))
        self._grid_is_checked = True
