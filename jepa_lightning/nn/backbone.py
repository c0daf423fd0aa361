# B batch, C channels, H W height and width, N tokens, D width
"""Any of timm's backbones, as an encoder that gives tokens."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

from timm.models import ResNet, VisionTransformer
from timm.models.eva import Eva
from torch import Tensor, nn

from jepa_lightning.nn.pos_embed import grid_size
from jepa_lightning.nn.timm_model import create_timm_model

Stem = Literal["default", "cifar"]


class TimmBackbone(nn.Module):
    """A timm network without its classifier: an image to tokens, which are the places of its last feature map.

    Class tokens are left out. The mean over tokens is the network's own pooling where no norm comes after that, as in
    ResNets; ConvNeXt's norm is applied to each place here. Networks that cannot leave their pooling out are refused by
    timm.

    Args:
        name: any of ``timm.list_models()``, with or without ``timm:``.
        image_size: height and width, for networks that are built for one.
        stem: ``cifar`` is a ResNet's for images of about 32 px (arXiv 1512.03385, section 4.2): a first convolution of
            3 x 3 without stride, and no pooling after it.
        drop_path: stochastic depth rate, for networks that have it.
        in_channels: C.
        pretrained: load timm's weights; the first convolution of the stem ``cifar`` has none.

    Raises:
        ValueError: if there is no such network, or the stem is not for it.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import TimmBackbone
        >>> TimmBackbone("resnet18", (32, 32), stem="cifar")(torch.rand(2, 3, 32, 32)).shape  # 4 x 4 places
        torch.Size([2, 16, 512])
    """

    def __init__(
        self,
        name: str,
        image_size: tuple[int, int],
        stem: Stem = "default",
        drop_path: float = 0.0,
        in_channels: int = 3,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        model = create_timm_model(name, image_size, in_channels, pretrained, drop_path, global_pool="")
        if stem not in get_args(Stem):
            raise ValueError(f"there is no stem '{stem}': choose one of {', '.join(get_args(Stem))}.")
        if stem == "cifar":
            _cifar_stem(model, name)
        self.model: Any = model
        plain = isinstance(model, (VisionTransformer, Eva))
        self.patch: tuple[int, int] | None = tuple(model.patch_embed.patch_size) if plain else None
        self.width = int(getattr(model, "head_hidden_size", None) or model.num_features)

    def forward(self, x: Tensor, layers: Sequence[int] | None = None) -> Tensor | list[Tensor]:
        """Encodes images.

        Args:
            x: ``[B, C, H, W]``.
            layers: indices of blocks or stages whose outputs are wanted, negative ones from the end.

        Returns:
            ``[B, N, D]``, or with ``layers`` a list of such, in the order given; stages may differ in N and D.

        Raises:
            ValueError: if there is no such layer, or the patch does not divide the input.
        """
        if self.patch is not None:
            grid_size(x.shape[2:], self.patch)
        if layers is not None:
            # timm gives those asked for once and in its own order
            taken = self.model.forward_intermediates(x, norm=True, intermediates_only=True)
            if any(not -len(taken) <= layer < len(taken) for layer in layers):
                raise ValueError(f"layers {tuple(layers)} are not all there: the encoder has {len(taken)} of them.")
            return [taken[layer].flatten(2).transpose(1, 2) for layer in layers]
        return self._tokens(self.model(x))

    def _tokens(self, output: Tensor) -> Tensor:
        if output.ndim == 3:
            return output[:, getattr(self.model, "num_prefix_tokens", 0) :]
        if output.ndim == 2:  # a network that has pooled already
            return output[:, None]
        if getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            return output.flatten(1, 2)
        return output.flatten(2).transpose(1, 2)


def _cifar_stem(model: Any, name: str) -> None:
    stem = model.conv1 if isinstance(model, ResNet) else None
    if not isinstance(stem, nn.Conv2d):
        raise ValueError(f"stem 'cifar' is for ResNets like resnet18, not for {name}.")
    model.conv1 = nn.Conv2d(stem.in_channels, stem.out_channels, kernel_size=3, padding=1, bias=False)
    model.maxpool = nn.Identity()
