# B batch, D width, h w of the grid, H W height and width of a view
"""A detector and the encoder below it, which are trained together."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.evaluation.detection import boxes_of, targets_of
from jepa_lightning.nn.token_maps import as_maps
from jepa_lightning.optim.layer_decay import layer_decay_groups
from jepa_lightning.probing.detector import Boxes, Detector
from jepa_lightning.probing.detector_training import share_of_rate
from jepa_lightning.seeding import seeded_chance
from jepa_lightning.types import Batch


class DetectorModule(LightningModule):
    """Trains a detector on views and their boxes, and the encoder that gives its tokens.

    The learning rate is that of the detector; it falls from each layer of the encoder to the one before it.

    Args:
        encoder: views ``[B, C, H, W]`` to tokens ``[B, h * w, D]``.
        detector: on their maps.
        shown: how samples are shown.
        grid: h and w.
        size: H and W.
        variant: learning rate and weight decay.
        layer_decay: factor on the learning rate from each layer of the encoder to the one before it.
        seed: of the draws of regions and of stochastic depth in each step.
    """

    def __init__(
        self,
        encoder: nn.Module,
        detector: Detector,
        shown: Pipeline,
        grid: Sequence[int],
        size: Sequence[int],
        variant: tuple[float, float],
        layer_decay: float,
        seed: int,
    ) -> None:
        super().__init__()
        # the target of a checkpoint is in eval mode, without drop path
        self.encoder, self.detector = encoder.train(), detector
        self.grid, self.size = tuple(grid), tuple(size)
        self.variant, self.layer_decay, self.seed = variant, layer_decay, seed
        self._shown = shown

    def pipeline(self) -> Pipeline:
        """How samples are shown."""
        return self._shown

    def forward(self, view: Tensor, targets: Sequence[Boxes] | None = None) -> Any:
        """What ``Detector`` gives for views ``[B, C, H, W]``."""
        return self.detector(as_maps(self.encoder(view), self.grid), self.size, targets)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The sum of torchvision's losses; a step draws the same numbers whether or not the run was stopped before."""
        with seeded_chance(self.seed, self.global_step, device=self.device):
            losses = self(batch.views[0], targets_of(boxes_of(batch.extras)))
        return torch.stack(list(losses.values())).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: what the detector finds is judged after the last step."""

    def configure_optimizers(self) -> Any:
        """AdamW, whose rates rise over the first steps and fall to 0 along a cosine."""
        groups = layer_decay_groups(self.encoder, self.detector, self.variant[0], self.layer_decay, self.variant[1])
        optimizer = torch.optim.AdamW(groups, lr=self.variant[0])
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_rate(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
