# B batch, N tokens, D width
"""Classifiers with attention, trained beside the module on its tokens, with several learning rates side by side."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.probes.trained import TrainedProbe
from jepa_lightning.options import Layers, LearningRates, NonNegativeFloat, PositiveInt, check_options
from jepa_lightning.probing.attentive_heads import AttentiveHeads, Generation, heads_for


class OnlineAttentiveProbe(TrainedProbe):
    """Trains, for each learning rate, an attentive pooler and a linear classifier for each label on detached tokens.

    It tells what is in the tokens and lost in their mean, such as places and motion. How it trains, and that it never
    touches the module, is ``TrainedProbe``'s. What is logged as ``val/attentive`` is the best of the learning rates on
    the validation data, as V-JEPA 2 reports it, which that choice makes too favorable; each is there by name as
    ``val/attentive/lr=0.001``. Tokens come from the step where its objective gives them, and cost a forward pass of the
    evaluation encoder on the first view elsewhere.

    Args:
        num_classes: number of classes, or of each label by name, which also chooses the labels (for values and
            multi-hot labels the number is K); None takes the DataModule's for class indices, and all other labels.
        lrs: of AdamW, constant, because the tokens keep changing.
        weight_decay: of AdamW; biases and norms have none.
        depth: blocks, one of which is the cross-attention; V-JEPA has 1, V-JEPA 2 has 4.
        num_heads: of each attention; None is a head for each 64 channels, or as near to it as divides them.
        generation: order of the blocks: 1 has the cross-attention first, and 2 has it last; they are the same for depth
            1.
        layers: blocks of the encoder whose tokens are put side by side; None takes the last one's.
        normalize: bring each channel of the tokens to mean 0 and variance 1 first, without which a probe of so short a
            training hardly learns; the papers' probes, which train for 20 epochs, do not.
        every_n_steps: train on the batches of every n-th optimizer step. None is 1 where the step returns the features
            anyway, and 8 where they cost a forward pass of the encoder on the full view (MAE's step returns none).
        name: of the metrics and of the state in checkpoints; two probes of a type need two names.
        features: dotted name of a submodule of any LightningModule, or key of the dict that its step returns; None
            takes the features of a ``JEPAModule``, or what the step returns as ``features``. They are tokens ``[B, N,
            D]``, or maps ``[B, D, H, W]`` whose places are tokens.
        labels: index or key of the labels in the batch: a tensor, or a dict of tensors by name.
        images: index or key of the images in the batch: a tensor, or a sequence of views.

    Raises:
        ValueError: if there are both layers and features.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import OnlineAttentiveProbe
        >>> trainer = Trainer(callbacks=[OnlineAttentiveProbe(features="backbone.layer4", num_classes=10)])
    """

    name = "attentive"

    def __init__(
        self,
        num_classes: PositiveInt | dict[str, PositiveInt] | None = None,
        lrs: LearningRates = (1e-2, 3e-3, 1e-3),
        weight_decay: NonNegativeFloat = 0.01,
        depth: PositiveInt = 1,
        num_heads: PositiveInt | None = None,
        generation: Generation = 2,
        layers: Layers | None = None,
        normalize: bool = True,
        every_n_steps: PositiveInt | None = None,
        name: str | None = None,
        features: str | None = None,
        labels: Item = 1,
        images: Item = 0,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(num_classes, name, every_n_steps, features, labels, images)
        if layers is not None and features is not None:
            raise ValueError(
                f"{type(self).__name__}: layers are blocks of a JEPAModule's evaluation encoder, and features="
                f"'{features}' is one network: leave one of them out."
            )
        self.lrs, self.weight_decay = tuple(lrs), weight_decay
        self.depth, self.num_heads, self.generation, self.layers = depth, num_heads, generation, layers
        self.normalize = normalize

    @property
    def variants(self) -> Sequence[str]:
        """One for each learning rate."""
        return [f"lr={lr:g}" for lr in self.lrs]

    def inputs(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any) -> Tensor:
        """Tokens ``[B, N, D]``."""
        options = {} if self.layers is None else {"layers": self.layers}
        return self.source.tokens(trainer, pl_module, outputs, batch, **options)

    def given(self, pl_module: LightningModule, outputs: Any) -> Tensor | None:
        """Tokens of the last block, where the step has them and no other block is asked for."""
        return self.source.tokens_in(pl_module, outputs) if self.layers is None else None

    def build_heads(self, features: Tensor, classes: list[int]) -> AttentiveHeads:
        """A pooler and a classifier for each label, as many times as there are learning rates."""
        width = features.shape[-1]
        # the same heads in every run, on every rank, and with no draw from training's generator
        with isolate_rng():
            torch.manual_seed(0)
            heads = AttentiveHeads(
                width,
                classes,
                len(self.lrs),
                self.depth,
                self.num_heads or heads_for(width),
                self.generation,
                self.normalize,
            )
        return heads.to(features.device)

    def build_optimizer(self, heads: AttentiveHeads) -> torch.optim.Optimizer:
        """AdamW, with a learning rate for each variant."""
        return torch.optim.AdamW(heads.parameter_groups(self.lrs, self.weight_decay))
