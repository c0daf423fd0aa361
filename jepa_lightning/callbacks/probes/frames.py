# B batch, T frames, N tokens of a frame, D width, C channels, H W height and width
"""A decoder of frames, trained beside a module on what it makes of each frame."""

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from jepa_lightning.callbacks.probes.trained import TrainedProbe
from jepa_lightning.options import LearningRate
from jepa_lightning.probing.frame_decoder import FrameDecoder

FRAMES = 32  # of a step that it is trained on, each of another clip


class FrameProbe(TrainedProbe):
    """Trains a ``FrameDecoder`` on the tokens of frames. A callback that shows what it draws hands hooks on to it.

    Pixels are standardized one by one, as the values of any label, so that a small dot counts as much as a wall.

    Args:
        lr: of AdamW, constant, because the features keep changing.
        owner: name of the callback, for messages.
    """

    def __init__(self, lr: LearningRate, owner: str) -> None:
        super().__init__(name="frames")
        self.lr, self.source.owner = lr, owner
        self._shape: tuple[int, int, int] = (0, 0, 0)  # of the last frames
        self._grid = (1, 1)

    def build_heads(self, features: Tensor, classes: list[int]) -> FrameDecoder:
        """The same decoder in every run and on every rank."""
        with isolate_rng():
            torch.manual_seed(0)
            decoder = FrameDecoder(features.shape[-1], features.shape[1], self._grid, self._shape)
        return decoder.to(features.device)

    def build_optimizer(self, heads: FrameDecoder) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(heads.parameters(), lr=self.lr)

    def labels(self, pl_module: LightningModule, batch: Any) -> dict[str, Tensor]:
        """Pixels of one frame of each clip, ``[B, C * H * W]``, of another one at each step."""
        view = self._clips(pl_module, batch)
        self._shape = (view.shape[1], view.shape[3], view.shape[4])
        frames = view.transpose(1, 2)[torch.arange(len(view)), self._chosen(pl_module, view)]
        return self._labels.read(frames.flatten(1).float())

    def inputs(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any) -> Tensor:
        """Tokens of the same frames, ``[B, N, D]``."""
        tokens, view = self.source.tokens(trainer, pl_module, outputs, batch), self._clips(pl_module, batch)
        by_frame = frames_of(pl_module, tokens[: len(view)], view.shape[2])
        self._grid = grid_of_frame(pl_module, by_frame.shape[2])
        return by_frame[torch.arange(len(view)), self._chosen(pl_module, view)]

    def given(self, pl_module: LightningModule, outputs: Any) -> Tensor | None:
        """Tokens that the step has returned, if it has."""
        return self.source.tokens_in(pl_module, outputs)

    def decoded(self, tokens: Tensor) -> Tensor:
        """Frames ``[B, C, H, W]`` from tokens ``[B, N, D]``."""
        pixels = self.scores(tokens.float())[""][""]
        return pixels.float().reshape(len(tokens), *self._shape)

    def _clips(self, pl_module: LightningModule, batch: Any) -> Tensor:
        view = self.source.views(pl_module, batch)[0][:FRAMES]
        if view.ndim != 5:
            raise ValueError(f"{self.source.owner} draws the frames of clips [B, C, T, H, W], not {list(view.shape)}.")
        return view

    def _chosen(self, pl_module: LightningModule, view: Tensor) -> Tensor:
        return (torch.arange(len(view)) + pl_module.global_step) % view.shape[2]


def frames_of(module: LightningModule, tokens: Tensor, frames: int) -> Tensor:
    """Tokens ``[B, T * N, D]`` of clips as ``[B, T, N, D]``.

    Raises:
        ValueError: if they are not of each frame.
    """
    if tokens.shape[1] % frames:
        raise ValueError(
            f"{type(module).__name__} gives {tokens.shape[1]} tokens for {frames} frames: only a module that encodes "
            "frames one by one, such as WorldModel, has rollouts to draw"
        )
    return tokens.reshape(len(tokens), frames, -1, tokens.shape[-1])


def grid_of_frame(module: LightningModule, number: int) -> tuple[int, int]:
    """Rows and columns of N tokens: the module's, or those nearest to a square."""
    found = tuple(getattr(getattr(module, "eval_encoder", module), "grid_size", ()))[-2:]
    if len(found) == 2 and found[0] * found[1] == number:
        return found[0], found[1]
    rows = max(each for each in range(1, int(number**0.5) + 1) if number % each == 0)
    return rows, number // rows
