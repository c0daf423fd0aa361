# B batch, C channels, H W height and width, N tokens of the grid, P class and register tokens, K kept tokens, D width
"""Vision Transformers of timm as encoders that see a part of their tokens."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from timm.layers.patch_embed import PatchEmbed
from timm.layers.pos_embed import resample_abs_pos_embed
from timm.models import VisionTransformer
from timm.models.eva import Eva
from torch import Tensor, nn

from jepa_lightning.nn.pos_embed import grid_size
from jepa_lightning.nn.timm_model import create_timm_model
from jepa_lightning.nn.tokens import take_tokens


class TimmViT(nn.Module):
    """A Vision Transformer of timm without its classifier, for masked prediction.

    The grid holds patch tokens alone. Class and register tokens take part in the attention of all blocks whatever the
    mask, and are left out of what comes back. Position embeddings are added before tokens are dropped, and rotary
    positions are those of the kept tokens. Patch size, positions, LayerScale, MLP and norms are the model's own.

    Args:
        name: one of ``timm.list_models()`` that is a ``VisionTransformer`` or an ``Eva`` (also DINOv3, EVA-02 and
            ``vit_*_rope``), with or without ``timm:``.
        image_size: height and width that the grid is for.
        in_channels: C.
        pretrained: load timm's weights.
        drop_path: stochastic depth rate of the last block; rises linearly from 0.
        gradient_checkpointing: recompute each block in the backward pass.
        options: further ones of the model, such as ``embed_dim`` and ``depth``, as plain data.
        norm_eps: eps of all layer norms; None has the model's own.

    Attributes:
        hparams: the arguments, which checkpoints hold.
        grid_size: rows and columns of patch tokens.
        width: D.
        depth: number of blocks.
        heads: attention heads per block.
        patch: height and width of a patch in pixels.
        input_size: the image size.

    Raises:
        ValueError: if there is no such model, if it has no way to leave tokens out, or if its patches do not divide the
            image.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import TimmViT
        >>> encoder = TimmViT("vit_tiny_patch16_224", (64, 64), options={"depth": 1})
        >>> images = torch.rand(2, 3, 64, 64)
        >>> encoder(images).shape, encoder(images, keep=torch.tensor([[0], [5]])).shape  # [B, N, D], [B, K, D]
        (torch.Size([2, 16, 192]), torch.Size([2, 1, 192]))
    """

    def __init__(
        self,
        name: str,
        image_size: tuple[int, int],
        in_channels: int = 3,
        pretrained: bool = False,
        drop_path: float = 0.0,
        gradient_checkpointing: bool = False,
        options: dict[str, Any] | None = None,
        norm_eps: float | None = None,
    ) -> None:
        super().__init__()
        self.hparams = {
            "name": name,
            "image_size": list(image_size),
            "in_channels": in_channels,
            "drop_path": drop_path,
            "gradient_checkpointing": gradient_checkpointing,
            "options": dict(options or {}),
            "norm_eps": norm_eps,
        }
        self.in_channels, image_size = in_channels, (image_size[0], image_size[1])
        model = create_timm_model(name, image_size, in_channels, pretrained, drop_path, **(options or {}))
        _check_maskable(name, model)
        if norm_eps is not None:
            for layer in model.modules():
                if isinstance(layer, nn.LayerNorm):
                    layer.eps = norm_eps
        self.patch: tuple[int, int] = tuple(model.patch_embed.patch_size)
        self.input_size, self.grid_size = image_size, grid_size(image_size, self.patch)
        self.width, self.depth = int(model.embed_dim), len(model.blocks)
        # blocks have their attention under several names, and timm's parallel blocks have two
        self.heads = next(int(part.num_heads) for part in model.blocks[0].modules() if hasattr(part, "num_heads"))
        model.reset_classifier(0, "")  # an attentive pooler would be a network without a gradient
        model.set_grad_checkpointing(gradient_checkpointing)
        # timm drops patches here, after positions are added, and has rotary positions follow what is kept
        model.patch_drop = KeepTokens(model.num_prefix_tokens, with_indices=isinstance(model, Eva))
        self.model: Any = model
        self.register_load_state_dict_pre_hook(_fit_positions)  # type: ignore[no-untyped-call]

    def forward(
        self, x: Tensor, keep: Tensor | None = None, layers: Sequence[int] | None = None
    ) -> Tensor | list[Tensor]:
        """Encodes the kept tokens.

        Args:
            x: ``[B, C, H, W]``; another size than the one built for gets interpolated positions.
            keep: int64 ``[B, K]`` indices of patch tokens; None keeps all N.
            layers: indices of blocks whose outputs are wanted, negative ones from the end.

        Returns:
            ``[B, K, D]`` after the final norm, or with ``layers`` a list of such, in the order given.

        Raises:
            ValueError: if there is no such layer.
        """
        if layers is not None and any(not -self.depth <= layer < self.depth for layer in layers):
            raise ValueError(f"layers {tuple(layers)} are not all there: the encoder has {self.depth} blocks.")
        slot = cast(KeepTokens, self.model.patch_drop)
        slot.keep = keep
        try:
            if layers is None:
                tokens: Tensor = self.model.fc_norm(self.model.forward_features(x))
                return tokens[:, slot.num_prefix :]
            wanted = [layer % self.depth for layer in layers]
            each = sorted(set(wanted))  # timm gives them once and in its own order
            found = self.model.forward_intermediates(
                x, each, norm=True, output_fmt="NLC", intermediates_only=True, stop_early=True
            )
        finally:
            slot.keep = None
        taken = {layer: self.model.fc_norm(tokens) for layer, tokens in zip(each, found, strict=True)}
        return [taken[layer] for layer in wanted]


class KeepTokens(nn.Module):
    """Keeps the patch tokens that it is told to, and all class and register tokens before them.

    It stands in the place of timm's ``PatchDropout``, within a forward pass of the model.

    Args:
        num_prefix: P.
        with_indices: also give the indices back, as ``Eva`` has it.

    Attributes:
        keep: int64 ``[B, K]``, or None for all; set around each forward pass.
    """

    def __init__(self, num_prefix: int, with_indices: bool) -> None:
        super().__init__()
        self.num_prefix, self.with_indices = num_prefix, with_indices
        self.keep: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor | None]:
        """``[B, P + N, D]`` to ``[B, P + K, D]``."""
        if self.keep is not None:
            prefix, patches = x.tensor_split([self.num_prefix], dim=1)
            x = torch.cat([prefix, take_tokens(patches, self.keep)], dim=1)
        return (x, self.keep) if self.with_indices else x


def _check_maskable(name: str, model: Any) -> None:
    """Refuses models in which a masked patch cannot be left out, or would be seen by the tokens of others."""
    reason = None
    if not isinstance(model, (VisionTransformer, Eva)):
        reason = f"it is a {type(model).__name__}, which timm has no way to run on a part of its tokens"
    elif not isinstance(model.patch_embed, PatchEmbed):
        reason = f"its {type(model.patch_embed).__name__} mixes patches before any of them can be left out"
    if reason:
        raise ValueError(
            f"{name} cannot predict under masks: {reason}. Choose a VisionTransformer or an Eva of timm, such as "
            "timm:vit_small_patch16_224, or a two-view method."
        )


def _fit_positions(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Resamples learned positions of another image size, so that a checkpoint can be opened at this one."""
    model: Any = module.model
    key = f"{prefix}model.pos_embed"
    if key not in state or model.pos_embed is None or state[key].shape == model.pos_embed.shape:
        return
    num_prefix = 0 if model.no_embed_class else model.num_prefix_tokens
    state[key] = resample_abs_pos_embed(state[key], list(module.grid_size), num_prefix_tokens=num_prefix)  # type: ignore[arg-type]
