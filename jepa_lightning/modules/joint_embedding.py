# B batch, C channels, H W height and width, N tokens, D width, P projection width
"""What the methods that compare augmented views of an image share: backbone, views, and the checks of both."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from torch import Tensor, nn

from jepa_lightning.data.augmentation import Augment, Augmentation, augmented_pipeline
from jepa_lightning.data.pipelines import Interpolation, Pipeline
from jepa_lightning.ema import frozen_copy
from jepa_lightning.energy import Sides, energy_of
from jepa_lightning.losses import prediction_distance
from jepa_lightning.modules.backbone import build_backbone, unused_patch
from jepa_lightning.modules.building import building
from jepa_lightning.modules.encoder_module import EncoderModule
from jepa_lightning.nn import PatchEmbedding, Stem
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.options import (
    FinalRate,
    Flip,
    ImageSize,
    NonNegativeFloat,
    PositiveInt,
    Registers,
    ShareBelowOne,
    ShareRange,
)
from jepa_lightning.types import Batch

M = TypeVar("M", bound=nn.Module)


BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class JointEmbedding(EncoderModule):
    """Base of the methods that bring views of an image together.

    Validation shows one view of an image, and the loss between an image and itself tells nothing: only features are
    computed there, and no ``val/loss`` is logged. A subclass whose own pipeline shows all views in evaluation sets
    ``objective_in_validation = True``.

    A subclass builds its ``projector`` and writes ``objective``, and ``embed`` where it compares other things.

    Args:
        encoder: a named Vision Transformer (``vit_tiny``); any of ``timm.list_models()`` (``resnet18``, or
            ``timm:resnet18``); or a network of your own or its class path, see ``EncoderModule``, where ``keep`` and
            ``grid_size`` are not needed.
        image_size: height and width of the views in pixels, or one number for both.
        patch_size: side of a patch in pixels, for Vision Transformers of this package.
        width: width of the tokens of a Vision Transformer, instead of that of the named size.
        depth: number of blocks of a Vision Transformer, instead of that of the named size.
        heads: attention heads of a Vision Transformer, instead of those of the named size.
        stem: first layers of a ResNet: ``cifar`` is for images of about 32 px.
        drop_path: stochastic depth rate of the encoder's last block.
        registers: number of learned tokens beside those of the patches in a named Vision Transformer (arXiv 2309.16588,
            which has 4); features and probes see patch tokens alone.
        patch_embedding: ``linear``, or ``convolutional``, which has two convolutions within each patch of a named
            Vision Transformer before its projection (``nn.ConvPatchEmbed``).
        augment: what happens to the views. ``paper`` is the method's own. ``small`` is for images of less than 64 px:
            crops of .6 to 1 of the image (local ones of .3 to .6), and brightness, contrast and saturation changed by
            up to .2; it keeps what is left and right, hues, colors and sharpness. ``crops`` is the same crops and
            nothing else, for images whose every change means something.
        crop_scale: smallest and largest area of a random crop, as a share of the image, for all views; None takes those
            of ``augment``.
        flip: probability of a mirrored view. True is one half, None takes that of ``augment``.
        color_strength: factor on the strength of color jitter, and on the probabilities of gray, blurred and solarized
            views; 0 leaves only crops and flips.
        interpolation: interpolation of resized images, bilinear or bicubic; None takes the method's own.
        start_lr: learning rate of the first step.
        final_weight_decay: weight decay of the last step; None keeps it constant.
        kwargs: channels see ``EncoderModule``; optimizer, schedule, EMA and compilation as in ``JEPAModule``.

    Raises:
        ValueError: if there is no such encoder, or an option is not for it.

    Example:
        >>> import torch
        >>> from jepa_lightning.modules import JointEmbedding
        >>> from jepa_lightning.types import StepOutput
        >>> class Alignment(JointEmbedding):
        ...     def __init__(self, dim: int = 8, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.projector = torch.nn.Linear(self.width, dim)
        ...
        ...     def objective(self, batch, progress):
        ...         first, second = self.embed(*self.two_views(batch))
        ...         return StepOutput((first - second).square().mean(), None, {})
        >>> module = Alignment(encoder="vit_tiny", depth=1, image_size=32, patch_size=8)
        >>> images = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8)
        >>> pipeline = module.pipeline()
        >>> batch = pipeline.collate([pipeline.transform(image) for image in images])
        >>> module.objective(batch, progress=0.0).loss.shape
        torch.Size([])
    """

    objective_in_validation = False
    projector: nn.Module

    def __init__(
        self,
        encoder: Encoder = "resnet18",
        image_size: ImageSize = 224,
        patch_size: PositiveInt = 16,
        width: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        heads: PositiveInt | None = None,
        stem: Stem = "default",
        drop_path: ShareBelowOne = 0.0,
        registers: Registers = 0,
        patch_embedding: PatchEmbedding = "linear",
        augment: Augment = "paper",
        crop_scale: ShareRange | None = None,
        flip: Flip | None = None,
        color_strength: NonNegativeFloat = 1.0,
        interpolation: Interpolation | None = None,
        start_lr: FinalRate = 0.0,
        final_weight_decay: NonNegativeFloat | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, start_lr=start_lr, final_weight_decay=final_weight_decay, **kwargs)
        if augment not in get_args(Augment):
            raise ValueError(f"there is no augment '{augment}': choose one of {', '.join(get_args(Augment))}.")
        self.stem, self.drop_path, self.augment = stem, drop_path, augment
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.patch_size, self.overrides = patch_size, {"width": width, "depth": depth, "heads": heads}
        self.crop_scale, self.flip, self.color_strength = crop_scale, flip, color_strength
        self.interpolation = interpolation
        self.registers, self.patch_embedding = registers, patch_embedding
        with building(self):
            self.encoder = self.build_encoder()

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: the size of patches, for networks that have none."""
        unused = {**super().unused_options(options), **unused_patch(options.get("encoder"))}
        if options["augment"] == "crops":
            unused["color_strength"] = "augment is crops, which changes no color"
        return unused

    def build_encoder(self) -> nn.Module:
        """The encoder, ``[B, C, H, W]`` to ``[B, N, D]``; override it for a network of your own with ``width``."""
        return build_backbone(self, registers=self.registers, patch_embedding=self.patch_embedding)

    @property
    def width(self) -> int:
        """D, the width of the features."""
        return int(self.encoder.width)  # type: ignore[arg-type]  # any network of the user's

    @property
    def eval_encoder(self) -> nn.Module:
        """The encoder that gradients train, unless the method says otherwise."""
        return self.encoder

    def augmentations(self) -> Sequence[Augmentation]:
        """What happens to each view; override it for views of your own."""
        return (Augmentation(), Augmentation())

    def pipeline(self) -> Pipeline:
        """Augmented views; no masks."""
        views = [self.scaled(augmentation, self.crop_scale) for augmentation in self.augmentations()]
        return augmented_pipeline(
            [(view, self.image_size) for view in views], self.mean, self.std, normalize=not self.normalize_on_device
        )

    def scaled(
        self, augmentation: Augmentation, crop_scale: tuple[float, float] | None, local: bool = False
    ) -> Augmentation:
        """An augmentation with what this module's options change, and another range of crops where given.

        Args:
            augmentation: the method's own.
            crop_scale: None takes that of the preset.
            local: whether it is for small crops beside whole ones.
        """
        preset = augmentation.preset(self.augment, local)
        return preset.scaled(self.color_strength, crop_scale, self.flip, self.interpolation)

    def embed(self, context: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What the method compares of two views, both ``[B, P]``: projections, unless it says otherwise.

        Args:
            context: ``[B, C, H, W]``.
            target: ``[B, C, H, W]``, of the same images; what the first should fit.
        """
        first, second = (self.projector(self.features(self.encoder, view)) for view in (context, target))
        return first, second

    def sides(self, batch: Batch) -> Sides:
        """What the method compares of the first and of the last view, ``[B, P]`` each."""
        context, target = self.embed(batch.views[0], batch.views[-1])
        return Sides([context], target)

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """2 - 2 cos of ``[B, P]`` and ``[B, P]``, unless the method says otherwise: ``[B]``."""
        return 2 * prediction_distance(predicted, target, "cosine")

    def energy(self, batch: Batch) -> Tensor:
        """Distance of what the method compares of the first and the last view, ``[B]``."""
        return energy_of(self.sides(batch), (), self.distance)

    def two_views(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The views of a batch.

        Raises:
            ValueError: if there are not two.
        """
        views = batch.views
        if len(views) != 2:
            raise ValueError(
                f"{type(self).__name__} takes 2 views of an image, got {len(views)}: use the transform of "
                "module.pipeline()."
            )
        return views[0], views[1]

    def features(self, encoder: nn.Module, images: Tensor) -> Tensor:
        """Pooled features of images, ``[B, C, H, W]`` to ``[B, D]``."""
        tokens: Tensor = encoder(images)
        return tokens.mean(dim=1)

    def train(self, mode: bool = True) -> "JointEmbedding":
        """Sets the mode; in EMA targets only batch normalization is in train mode, where it needs the batch."""
        super().train(mode)
        for _, target in self.ema_pairs():
            _set_batch_norm(target, mode)
        return self


def target_copy(network: M) -> M:
    """An EMA target in the mode of a module that trains: the Trainer leaves modes as they were built."""
    return _set_batch_norm(frozen_copy(network), True)


def _set_batch_norm(network: M, mode: bool) -> M:
    for layer in network.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.train(mode)
    return network
