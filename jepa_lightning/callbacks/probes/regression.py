# B batch, T frames, N tokens of a frame, D width, S numbers of a state
"""A linear regression of states, such as positions, trained beside a world model."""

from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from jepa_lightning.callbacks.probes.trained import TrainedProbe
from jepa_lightning.options import LearningRate, NonNegativeFloat, PositiveInt, check_options
from jepa_lightning.probing.linear_heads import LinearHeads
from jepa_lightning.types import Batch


class OnlineRegressionProbe(TrainedProbe):
    """Trains a linear regression from what a module makes of each frame to the state that the frame shows.

    It logs ``val/NAME_r2``, R2 averaged over the numbers of a state, and ``val/NAME_mae``, the mean absolute error in
    the state's own unit (pixels in ``TwoRoomsDataModule``). Features are the tokens of the step, averaged over those of
    a frame. How it trains, and that it never touches the module, is ``TrainedProbe``'s.

    Args:
        states: name of the states ``[B, T, S]`` in the extras of a batch; rows with a NaN are left out.
        lr: of AdamW, constant, because the features keep changing.
        weight_decay: of AdamW.
        every_n_steps: train on the batches of every n-th optimizer step. None is 1 where the step returns the features
            anyway, and 8 where they cost a forward pass of the encoder on the full view (MAE's step returns none).
        name: of the metrics and of the state in checkpoints; two probes of a type need two names.

    Raises:
        MisconfigurationException: in a run, if batches have no such states, or tokens are not of these frames.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import OnlineRegressionProbe
        >>> trainer = Trainer(callbacks=[OnlineRegressionProbe()])  # logs val/regression_r2 and val/regression_mae
    """

    name = "regression"

    def __init__(
        self,
        states: str = "states",
        lr: LearningRate = 5e-3,
        weight_decay: NonNegativeFloat = 0.0,
        every_n_steps: PositiveInt | None = None,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(name=name, every_n_steps=every_n_steps)
        self.states, self.lr, self.weight_decay = states, lr, weight_decay

    def build_heads(self, features: Tensor, classes: list[int]) -> LinearHeads:
        """A linear layer behind a batch normalization."""
        return LinearHeads(features.shape[1], classes, features.device)

    def build_optimizer(self, heads: LinearHeads) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(heads.parameters(), lr=self.lr, weight_decay=self.weight_decay)

    def labels(self, pl_module: LightningModule, batch: Any) -> dict[str, Tensor]:
        """The states of all frames, ``[B * T, S]``."""
        return self._labels.read(self._states_of(batch).flatten(0, 1))

    def inputs(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any) -> Tensor:
        """Features of all frames, ``[B * T, D]``."""
        tokens, frames = self.source.tokens(trainer, pl_module, outputs, batch), self._states_of(batch).shape[1]
        if tokens.shape[1] % frames:
            raise MisconfigurationException(
                f"{type(self).__name__} needs tokens of each frame, and {type(pl_module).__name__} gives "
                f"{tokens.shape[1]} tokens for {frames} states: use it with a module that encodes frames one by one, "
                "such as WorldModel."
            )
        return tokens.reshape(len(tokens) * frames, -1, tokens.shape[-1]).mean(dim=1)

    def given(self, pl_module: LightningModule, outputs: Any) -> Tensor | None:
        """Tokens that the step has returned, if it has."""
        return self.source.tokens_in(pl_module, outputs)

    def _states_of(self, batch: Any) -> Tensor:
        found = batch.extras.get(self.states) if isinstance(batch, Batch) else None
        if found is None or found.ndim != 3:
            form = "" if found is None else f" of shape {list(found.shape)}"
            raise MisconfigurationException(
                f"{type(self).__name__} needs states [B, T, S], and the batch has no extras[{self.states!r}]"
                f"{f' but one{form}' if form else ''}: use a DataModule of trajectories with states, name them "
                "(states=), or leave the callback out."
            )
        return found
