"""A LightningModule whose checkpoints go from any strategy to any other."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import FSDPStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn
from torch.optim import Optimizer
from typing_extensions import Self

from jepa_lightning.checkpoints import (
    MADE_BY,
    OPTIMIZERS,
    check_classes,
    check_resumable,
    class_path,
    is_finite,
    local_copy,
    maker,
    read_checkpoint,
    read_shards,
    refuse_other_method,
    tables_of_another_size,
)
from jepa_lightning.modules.finite_loss import diverged
from jepa_lightning.renamed_options import saved_options

STATES = ("state_dict", "current_model_state")  # the latter is Lightning's, beside an average


class Portable(LightningModule):
    """Saves what every strategy can read, and loads what any has written, be it a file or a folder of shards."""

    _resumed: dict[str, Any] | None = None  # a checkpoint, until its optimizers have been compared

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """A module with the options and the weights of a checkpoint, as in Lightning. Nothing in the file is run.

        Position tables that are computed are left as they are built where the options ask for another size.

        Args:
            checkpoint_path: a file, its address, an open file, or a folder of shards.
            map_location: as in Lightning.
            hparams_file: as in Lightning.
            strict: as in Lightning.
            weights_only: False reads any pickle, which may run code: for files that you trust. None is True here, for
                addresses too.
            kwargs: options in the place of those in the checkpoint. A checkpoint whose encoder is a class of your own
                needs that class to be imported, or ``encoder=``.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is damaged, of another method or code base, or holds more than plain data.
        """
        how = {"map_location": map_location, "hparams_file": hparams_file, "strict": strict}
        how |= {"weights_only": weights_only is not False, **kwargs}
        if weights_only is False:
            trusted: Self = super().load_from_checkpoint(checkpoint_path, **how)
            return trusted
        with local_copy(checkpoint_path) as path:
            folder = path.is_dir()
            checkpoint = read_shards(path, optimizer=False) if folder else read_checkpoint(path)
            saved = checkpoint.get(cls.CHECKPOINT_HYPER_PARAMS_KEY, {})
            refuse_other_method(cls, checkpoint, checkpoint_path)
            options = saved_options(cls, saved)
            check_classes({name: value for name, value in options.items() if name not in kwargs}, checkpoint_path)
            if options.get("pretrained"):  # the weights are the checkpoint's
                how.setdefault("pretrained", False)
            if options.get("start_from"):
                how.setdefault("start_from", None)
            readable: Path | BytesIO = path
            if folder or options != saved:
                readable = BytesIO()
                torch.save({**checkpoint, cls.CHECKPOINT_HYPER_PARAMS_KEY: options}, readable)
                readable.seek(0)
            with _unknown_options_named(cls, maker(checkpoint), checkpoint_path):
                module: Self = super().load_from_checkpoint(readable, **how)
            return module

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Names the class, and the parameters of the optimizer's states. Weights that are not finite are not saved.

        Raises:
            FloatingPointError: if they are not, on any rank.
        """
        if not self.trainer.strategy.reduce_boolean_decision(is_finite(self)):
            optimizers = self.trainer.optimizers
            lr = optimizers[0].param_groups[0]["lr"] if optimizers else None
            raise diverged("weights are not finite", self.global_step, lr)
        checkpoint[MADE_BY] = class_path(type(self))
        if "optimizer_states" not in checkpoint:  # weights may be saved alone
            return
        checkpoint[OPTIMIZERS] = [type(optimizer).__name__ for optimizer in self.trainer.optimizers]
        if not isinstance(self.trainer.strategy, FSDPStrategy):  # which numbers them for itself
            for state, optimizer in zip(checkpoint["optimizer_states"], self.trainer.optimizers, strict=False):
                name_states_(state, optimizer, self)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses the weights of another method; leaves position tables of another size as they are built here."""
        refuse_other_method(type(self), checkpoint, "this file")
        own = self.state_dict()
        for state in (checkpoint[name] for name in STATES if name in checkpoint):
            state.update({name: own[name] for name in tables_of_another_size(state, self)})
        if self._is_fitting() and self.trainer.strategy.lightning_restore_optimizer:
            self._resumed = checkpoint

    def on_fit_start(self) -> None:
        """Refuses to resume from weights alone, or with another optimizer.

        Raises:
            ValueError: if that is asked for.
        """
        if self._resumed is not None:
            check_resumable(self._resumed, self.trainer.optimizers, len(self.trainer.lr_scheduler_configs))
            self._resumed = None

    def _is_fitting(self) -> bool:
        try:
            return self.trainer.state.fn == TrainerFn.FITTING
        except RuntimeError:  # there is no Trainer
            return False


@contextmanager
def _unknown_options_named(cls: type, made_by: str | None, source: Any) -> Iterator[None]:
    """Says that a checkpoint is of another class where the class that is built does not know one of its options."""
    try:
        yield
    except TypeError as error:
        if option := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
            raise ValueError(
                f"{source} is a checkpoint of {made_by or 'another class'}, and {class_path(cls)} has no option "
                f"{option[1]}: load it as the class that it is of."
            ) from error
        raise


def name_states_(state: dict[str, Any], optimizer: Optimizer, module: nn.Module) -> None:
    """Puts names in the place of numbers in an optimizer's state dict.

    Optimizers go by the order in their groups alone and take either. FSDP takes numbers for places in the module, and
    would give parameters the states of others, since weights and biases are in groups of their own.

    Args:
        state: the state dict; one that has names, or that another rank holds, stays as it is.
        optimizer: whose it is.
        module: whose parameters it moves.
    """
    names = {parameter: name for name, parameter in module.named_parameters()}
    moved: dict[Any, str] = {}
    for saved, group in zip(state.get("param_groups", ()), optimizer.param_groups, strict=False):
        moved.update(zip(saved["params"], (names[parameter] for parameter in group["params"]), strict=True))
        saved["params"] = [moved[number] for number in saved["params"]]
    if moved:
        state["state"] = {moved[number]: values for number, values in state["state"].items()}
