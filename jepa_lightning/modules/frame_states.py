# B batch, C channels, T frames, H W height and width, N tokens of a frame, D width, A numbers of an action
"""The states of frames, and what a module knows about the trajectories that they are of."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.videos.action_clips import action_pipeline, frames_to_clips
from jepa_lightning.modules.building import building
from jepa_lightning.modules.frame_encoder import IMPALA, Pool, frame_encoder, frame_grid, is_frozen, opened
from jepa_lightning.modules.frozen_encoder import FrozenEncoder
from jepa_lightning.modules.trajectories import Actions
from jepa_lightning.modules.trajectory_module import TrajectoryModule
from jepa_lightning.modules.unused_options import refuse_unused
from jepa_lightning.nn import JoinedTokens, projection_head
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.options import FiniteFloat, ImageSize, PositiveFloat, PositiveInt


class FrameStates(TrajectoryModule):
    """Base of modules that encode the frames of trajectories one by one, and take actions.

    A subclass says with ``in_tokens`` whether a state is one vector or all tokens of a frame, which the options in
    ``hparams`` decide; the encoder and its head are built here.

    Args:
        encoder: network that sees a frame: ``impala``; a named size such as ``vit_tiny``; ``timm:NAME``; a checkpoint
            (``*.ckpt``) of a method of this package, whose encoder is then frozen; or a network of your own or its
            class path, see ``EncoderModule``.
        num_frames: number of frames in a clip, T. Longer trajectories are cut: anywhere in training, in the middle in
            evaluation.
        action_size: number of values in an action, A.
        action_mean: mean of each value of an action, which is subtracted; None has the data's.
        action_std: standard deviation of each value of an action, which divides the rest; None has the data's.
        frame_skip: steps of the environment from a frame to the next, whose actions stand one after the other in an
            action; None has the data's.
        image_size: height and width of the frames in pixels, or one number for both.
        in_channels: number of channels of the frames.
        patch_size: side of a patch in pixels, of named Vision Transformers.
        width: width D of the encoder, instead of its own; 512 for ``impala``.
        depth: number of blocks of a named Vision Transformer, instead of its own.
        heads: attention heads of a named Vision Transformer, instead of its own.
        pool: what a state is made of where it is one vector: the ``mean`` of the tokens of a frame, or the ``class``
            token of a Vision Transformer.
        state_width: width of a state that a linear layer, which is trained, makes of all tokens of a frame side by
            side, so that it keeps where things are; None pools tokens. A frozen encoder may stand before it.
        freeze_encoder: leave the encoder as it starts.
        projector: width within a projector with batch normalization behind the encoder, and one behind the predictor;
            None has one LayerNorm behind both, without weights where the encoder is frozen.
        kwargs: statistics of pixels and pretrained weights, as in ``EncoderModule``; optimizer, schedule and
            compilation, as in ``JEPAModule``.

    Raises:
        ValueError: if the options do not fit each other.
    """

    def __init__(
        self,
        encoder: Encoder = IMPALA,
        num_frames: PositiveInt = 17,
        action_size: PositiveInt = 2,
        action_mean: Sequence[FiniteFloat] | None = None,
        action_std: Sequence[PositiveFloat] | None = None,
        frame_skip: PositiveInt | None = None,
        image_size: ImageSize = 65,
        in_channels: PositiveInt = 2,
        patch_size: PositiveInt = 16,
        width: PositiveInt | None = None,
        depth: PositiveInt | None = None,
        heads: PositiveInt | None = None,
        pool: Pool = "mean",
        state_width: PositiveInt | None = None,
        freeze_encoder: bool = False,
        projector: PositiveInt | None = None,
        **kwargs: Any,
    ) -> None:
        encoder = opened(encoder)
        if isinstance(encoder, FrozenEncoder) and encoder.in_channels == in_channels:
            kwargs = {"mean": encoder.mean, "std": encoder.std, **kwargs}
        super().__init__(encoder, in_channels, **kwargs)
        # again, since the encoder may be another than the one that was given
        refuse_unused(type(self), self.unused_options(self.hparams), self.hparams)
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.patch_size, self.num_frames = patch_size, num_frames
        self.actions = Actions(action_size, action_mean, action_std)
        with building(self):
            self.encoder = frame_encoder(self, width, depth, heads, pool, tokens=self.in_tokens)
            if freeze_encoder:
                self.encoder.requires_grad_(False)
            self.is_frozen = not any(parameter.requires_grad for parameter in self.encoder.parameters())
            self.joined = self.build_joined()
            self.state_head = self.build_head()

    @property
    @abstractmethod
    def in_tokens(self) -> bool:
        """Whether a state is all tokens of a frame, ``[N, D]``, and not one vector ``[D]``."""

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: options of other encoders."""
        unused = super().unused_options(options)
        if options.get("encoder") == IMPALA:
            unused |= dict.fromkeys(("patch_size", "pool", "state_width"), "encoder is impala")
        if options.get("state_width"):
            unused["pool"] = "state_width takes all tokens of a frame"
        return unused

    @classmethod
    def trains_states(cls, options: Mapping[str, Any]) -> bool:
        """Whether anything of what makes states is trained."""
        frozen = options["freeze_encoder"] or is_frozen(options.get("encoder"))
        return not frozen or bool(options["projector"] or options["state_width"])

    @property
    def learns_states(self) -> bool:
        """Whether anything of what makes states has weights that are trained."""
        return not self.is_frozen or bool(self.hparams["projector"]) or self.joined is not None

    def build_joined(self) -> nn.Module | None:
        """What makes one vector of all tokens of a frame ``[M, N, D]``; None where they are pooled, or all taken."""
        out: int | None = self.hparams["state_width"]
        if out is None:
            return None
        rows, columns = frame_grid(self, "state_width")
        return JoinedTokens(rows * columns, int(self.encoder.width), out)  # type: ignore[arg-type]

    def build_head(self) -> nn.Module:
        """What turns tokens or vectors ``[M, D]`` of the encoder, and of the predictor, into states ``[M, D]``."""
        hidden: int | None = self.hparams["projector"]
        if hidden is None:
            return nn.LayerNorm(self.width, elementwise_affine=self.learns_states)
        return projection_head(self.width, hidden, self.width)

    @property
    def width(self) -> int:
        """D, the width of states."""
        return int(self.hparams["state_width"] or self.encoder.width)  # type: ignore[arg-type]  # any network of the user's

    @property
    def eval_encoder(self) -> nn.Module:
        """The encoder of frames."""
        return self.encoder

    def clip(self, frames: Any) -> Tensor:
        """Frames of environments as ``encode`` takes them, of any number T.

        Args:
            frames: uint8 ``[B, T, H, W, C]``, an array or a tensor.

        Returns:
            ``[B, C, T, H, W]``, normalized, on the module's device.
        """
        return frames_to_clips(frames, self.image_size, self.mean, self.std).to(self.device)

    def encode(self, clip: Tensor) -> Tensor:
        """States of the frames of clips ``[B, C, T, H, W]``, each seen by itself.

        Returns:
            ``[B, T, D]``, or ``[B, T, N, D]`` with predictor tokens.
        """
        frames = clip.transpose(1, 2)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            tokens: Tensor = self.encoder(frames.flatten(0, 1))
        if self.joined is not None:
            tokens = self.joined(tokens)
        if not self.in_tokens:
            tokens = tokens.mean(dim=1)
        return _in_time(through(self.state_head, tokens), frames)

    def forward(self, x: Tensor, layers: Sequence[int] | None = None, pool: bool = True) -> Tensor:
        """Features of clips or images: their states, averaged over frames and tokens.

        Args:
            x: ``[B, C, T, H, W]`` or ``[B, C, H, W]``.
            layers: blocks of the encoder whose outputs are put side by side, in place of states.
            pool: average over frames and tokens.

        Returns:
            ``[B, D]``, or ``[B, T * N, D]`` without pooling; ``L * D`` wide with L layers.
        """
        clip = x[:, :, None] if x.ndim == 4 else x
        if layers is None:
            states = self.encode(clip)
        else:
            frames = clip.transpose(1, 2)
            # pooled frame by frame: the stages of a convolutional network differ in N
            states = _in_time(super().forward(frames.flatten(0, 1), layers, pool), frames)
        tokens = states.flatten(1, -2)
        return tokens.mean(dim=1) if pool else tokens

    def train(self, mode: bool = True) -> "FrameStates":
        """Sets the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.is_frozen:
            self.encoder.eval()
        return self

    def pipeline(self) -> Pipeline:
        """Clips as they are, in training too: a crop or a mirror image would belong to other actions."""
        normalize = not self.normalize_on_device
        return action_pipeline(self.image_size, self.num_frames, self.actions.size, self.mean, self.std, normalize)


def through(head: nn.Module, tokens: Tensor) -> Tensor:
    """A head on the last axis of ``[..., D]``."""
    states: Tensor = head(tokens.flatten(0, -2))
    return states.view(*tokens.shape[:-1], -1)


def _in_time(states: Tensor, frames: Tensor) -> Tensor:
    """States ``[B * T, ...]`` of frames ``[B, T, ...]`` as ``[B, T, ...]``."""
    return states.view(*frames.shape[:2], *states.shape[1:])
