# B batch, C channels, N tokens, D width
"""What all methods share that have one encoder: which one it is, and the channels of what it sees."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import timm
import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from jepa_lightning.data.channels import default_statistics
from jepa_lightning.modules.base import JEPAModule
from jepa_lightning.nn import VIT_SIZES, TimmViT, ViTSize, vit_size
from jepa_lightning.nn.encoder_spec import Encoder, check_encoder, create_encoder, encoder_spec
from jepa_lightning.nn.timm_model import PREFIX, timm_name
from jepa_lightning.options import FiniteFloat, PositiveFloat, PositiveInt
from jepa_lightning.types import Batch

PATCH_SIZE = 16  # of the named sizes, where none is given


class EncoderModule(JEPAModule):
    """Base of the methods with an encoder.

    Args:
        encoder: a named size such as ``vit_small``; ``timm:NAME`` for a network of timm; a network of your own, an
            ``nn.Module`` with ``width``, ``grid_size`` and ``forward(x, keep=None)``; or the dict ``{"class_path": ...,
            "init_args": {...}}`` that builds one. Checkpoints hold the class path of a network and the arguments in its
            ``hparams`` (Lightning's ``HyperparametersMixin``); without these ``load_from_checkpoint`` needs
            ``encoder=``.
        in_channels: channels of the images, C.
        mean: mean of each channel, which is subtracted from values of 0 to 1; None has the mean that the DataModule was
            given, that of the pretrained weights, or else ImageNet's for 3 channels and 0.5 for others.
        std: standard deviation of each channel, which divides the rest; None has that of the same source as the mean.
        pretrained: start from timm's weights, which are downloaded unless they are in its cache. A checkpoint is
            opened without them.
        normalize_on_device: send training views of 8 bits to the device as they are, a quarter of the bytes through the
            workers and to a GPU, and normalize them there; results are the same.
        kwargs: optimizer, schedule, EMA and compilation, as in ``JEPAModule``.

    Raises:
        ValueError: if there is no such encoder, it is not one, or the statistics are not of ``in_channels`` channels.
    """

    not_plain: ClassVar[Sequence[str]] = ("encoder",)
    image_size: tuple[int, int]
    patch_size: int

    def __init__(
        self,
        encoder: Encoder,
        in_channels: PositiveInt = 3,
        mean: Sequence[FiniteFloat] | None = None,
        std: Sequence[PositiveFloat] | None = None,
        pretrained: bool = False,
        normalize_on_device: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.normalize_on_device = normalize_on_device
        self._given = (encoder,)  # in a tuple, since it is not a network of this module under that name
        self.in_channels, self.pretrained = in_channels, pretrained
        self.has_own_statistics = mean is not None or std is not None
        of_timm = isinstance(encoder, str) and encoder not in VIT_SIZES
        if pretrained and not of_timm:
            raise ValueError("pretrained=True is for networks of timm: give encoder=timm:NAME, or leave it out.")
        self.mean, self.std = _statistics(in_channels, mean, std, str(encoder) if pretrained else None)
        spec = encoder_spec(encoder)
        self.save_hyperparameters({"encoder": spec, "mean": list(self.mean), "std": list(self.std)})
        if isinstance(spec, dict) and spec["init_args"] is None:
            rank_zero_warn(
                f"the arguments of the encoder {spec['class_path']} are not saved, since it is not a class at the top "
                "of a module with hparams of plain data (lightning.pytorch.core.mixins.HyperparametersMixin): "
                "load_from_checkpoint will need encoder=."
            )

    def normalized(self, batch: Batch) -> Batch:
        """Normalizes views of 8 bits that came to the device as they are, with ``normalize_on_device``."""
        if not self.normalize_on_device:
            return batch
        return batch._replace(views=[self._normalized(view) for view in batch.views])

    def _normalized(self, view: Tensor) -> Tensor:
        """A view of 8 bits, ``[B, C, ...]``, as the pipeline normalizes others."""
        if view.dtype != torch.uint8:
            return view
        shape = (-1, *[1] * (view.ndim - 2))
        # a copy of a few bytes does not make the host wait, from pageable memory either
        mean, std = (torch.tensor(each).to(view.device, non_blocking=True) for each in (self.mean, self.std))
        return view.float().div_(255).sub_(mean.view(shape)).div_(std.view(shape)).to(self.dtype)

    @property
    def encoder_option(self) -> Encoder:
        """The encoder as it was given."""
        return self._given[0]

    @property
    def encoder_label(self) -> str:
        """Its name or the path of its class, for messages."""
        spec = encoder_spec(self.encoder_option)
        return spec if isinstance(spec, str) else str(spec["class_path"])

    def named_size(self, **overrides: int | None) -> ViTSize | None:
        """The named size with what overrides it; None for other encoders, which have their own.

        Raises:
            ValueError: if there is no such size, or if one is overridden of an encoder that has its own.
        """
        encoder = self.encoder_option
        if isinstance(encoder, str) and not encoder.startswith(PREFIX):
            if encoder not in VIT_SIZES and timm.is_model(encoder):
                raise ValueError(f"there is no encoder '{encoder}': did you mean {PREFIX}{encoder}?")
            return vit_size(encoder, **overrides)
        self.refuse_overrides(**overrides)
        return None

    def refuse_overrides(self, **overrides: float | None) -> None:
        """Refuses options that are given for an encoder that has its own.

        Raises:
            ValueError: if one is not None.
        """
        if given := [option for option, value in overrides.items() if value is not None]:
            raise ValueError(
                f"{' and '.join(given)} cannot be set for {self.encoder_label}, which has its own: set "
                f"{'it' if len(given) == 1 else 'them'} to null, or choose one of {', '.join(VIT_SIZES)}."
            )

    def other_encoder(
        self, masked: bool = True, drop_path: float = 0.0, gradient_checkpointing: bool = False
    ) -> nn.Module:
        """The network that was given, or a Vision Transformer of timm.

        Args:
            masked: whether the method has it encode a part of the tokens.
            drop_path: stochastic depth rate of the last block, for timm's.
            gradient_checkpointing: recompute blocks in the backward pass, for timm's.

        Raises:
            ValueError: if it is no encoder, or an option does not apply to it.
        """
        encoder = self.encoder_option
        if isinstance(encoder, str):
            network: nn.Module = TimmViT(
                encoder, self.image_size, self.in_channels, self.pretrained, drop_path, gradient_checkpointing
            )
        elif drop_path or gradient_checkpointing:
            option = "drop_path" if drop_path else "gradient_checkpointing"
            raise ValueError(f"{option} cannot be set for {self.encoder_label}: set it where the network is built.")
        else:
            network = encoder if isinstance(encoder, nn.Module) else create_encoder(encoder)
        check_encoder(network, masked)
        if (own := getattr(network, "in_channels", self.in_channels)) != self.in_channels:
            raise ValueError(
                f"in_channels={self.in_channels}, and the encoder {self.encoder_label} takes {own}: set "
                f"in_channels={own}."
            )
        self.take_patch(network)
        return network

    def take_patch(self, network: nn.Module) -> None:
        """Takes the patch size of a network that has its own.

        Raises:
            ValueError: if another one was given, or one for a network of timm that has none.
        """
        if (patch := getattr(network, "patch", None)) is None:
            if isinstance(self.encoder_option, str) and self.patch_size != PATCH_SIZE:
                raise ValueError(
                    f"patch_size={self.patch_size} has no effect, since {self.encoder_label} has no patches whose size "
                    "can be set: leave it out."
                )
            return
        if self.patch_size not in (PATCH_SIZE, patch[-1]):
            raise ValueError(
                f"patch_size={self.patch_size} cannot be set for {self.encoder_label}, whose patches have {patch[-1]} "
                "pixels: leave it out."
            )
        self.patch_size = int(patch[-1])

    def check_tokens(self, tokens: Tensor, grid_size: Sequence[int], width: int) -> None:
        """Refuses an encoder whose tokens are not those that it says.

        Args:
            tokens: of a whole view, ``[B, N, D]``.
            grid_size: tokens along each axis, as the encoder says.
            width: D, as the encoder says.

        Raises:
            ValueError: if they are others.
        """
        if tokens.ndim != 3 or tuple(tokens.shape[1:]) != (math.prod(grid_size), width):
            raise ValueError(
                f"the encoder {self.encoder_label} gives {list(tokens.shape)} for {len(tokens)} whole views, and says "
                f"grid_size={tuple(grid_size)} and width={width}, which are [{len(tokens)}, {math.prod(grid_size)}, "
                f"{width}]: correct its grid_size or width."
            )

    def take_statistics(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Takes mean and std from the data, where the module was given none; checkpoints hold them.

        Args:
            mean: of each channel.
            std: of each channel.
        """
        self.mean, self.std = tuple(mean), tuple(std)
        self.has_own_statistics = True
        self.hparams.update(mean=list(mean), std=list(std))


def _statistics(
    channels: int, mean: Sequence[float] | None, std: Sequence[float] | None, weights: str | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of each channel, as given or by default.

    Raises:
        ValueError: if they are not as many as the channels.
    """
    default_mean: Sequence[float]
    default_std: Sequence[float]
    default_mean, default_std = default_statistics(channels)
    if weights is not None and channels == 3:
        bare = timm_name(weights)
        default_mean, default_std = (
            cast(Sequence[float], timm.get_pretrained_cfg_value(bare, name)) for name in ("mean", "std")
        )
    for name, given in (("mean", mean), ("std", std)):
        if given is not None and len(given) != channels:
            raise ValueError(
                f"{name} has {len(given)} numbers and in_channels is {channels}: give one for each channel."
            )
    return tuple(default_mean if mean is None else mean), tuple(default_std if std is None else std)
