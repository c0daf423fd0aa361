"""The exponential moving average of a module's targets."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, get_args

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from jepa_lightning.ema.average import EMAPair, EMASchedule, check_pair, ema_decay
from jepa_lightning.optim.lengths import optimizer_steps
from jepa_lightning.options import Share, check_options
from jepa_lightning.submodules import submodule


class EMACallback(Callback):
    """Moves targets after each optimizer step, and only then; logs ``train/ema_decay``.

    The targets are those of ``module.ema_pairs()``, which a ``JEPAModule`` has, and of ``pairs``. The decay follows
    from the step alone, so there is nothing to save. A ``JEPAModule`` with a target adds this callback itself; give the
    Trainer one to change the range. On any other LightningModule ``pairs`` names the networks. Parameters are averaged;
    buffers, such as the running statistics of a batch norm, are left to the target.

    Args:
        start: decay at the first step.
        end: decay at the last step; 1 leaves the target where it is.
        schedule: along a line or a cosine.
        pairs: dotted names of an online network and its target in the module, for each target.

    Raises:
        ValueError: if the range is not within [0, 1], or there is no such schedule.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import EMACallback
        >>> trainer = Trainer(callbacks=[EMACallback(0.99, 0.99, pairs=[("encoder", "target_encoder")])])
    """

    def __init__(
        self,
        start: Share = 0.996,
        end: Share = 1.0,
        schedule: EMASchedule = "linear",
        pairs: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        check_options(type(self), locals())
        if pairs is not None and not pairs:
            raise ValueError("pairs is empty, so there is nothing to move: leave it out for those of the module.")
        if start > end:
            raise ValueError(f"the EMA runs from {start} to {end}: give the smaller decay first.")
        if schedule not in get_args(EMASchedule):
            raise ValueError(
                f"there is no EMA schedule '{schedule}': choose one of {', '.join(get_args(EMASchedule))}."
            )
        self.start = start
        self.end = end
        self.schedule: EMASchedule = schedule
        self.pairs = pairs
        self._last_step = 0
        self._pairs: list[EMAPair] = []
        self._filter: Any = None
        self._total_steps: float

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses a second EMA, targets that are not there or are trained, and weights in half precision.

        Raises:
            MisconfigurationException: if the Trainer has another EMACallback, there is nothing to move, or a step of
                1 - decay would vanish.
            ValueError: as ``check_pair``.
        """
        found = sum(isinstance(each, EMACallback) for each in trainer.callbacks)  # type: ignore[attr-defined]
        if found > 1:
            raise MisconfigurationException(
                f"the Trainer has {found} EMACallbacks, each of which would move the targets of the module: give it "
                "one, with all networks in pairs=."
            )
        # Lightning's warning is about modules that are not meant to be in eval mode, as targets are
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
        self._filter = warnings.filters[0]
        if trainer.precision in ("bf16-true", "16-true"):
            raise MisconfigurationException(
                f"an EMA target cannot follow in precision {trainer.precision}: steps of {1 - self.start:.1e} vanish. "
                "Use bf16-mixed, which keeps the weights in float32."
            )
        for pair in self._networks(pl_module):
            check_pair(*pair)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Notes where the run starts or resumes, and how long it is; refuses targets that cannot follow."""
        self._show_warnings()
        self._last_step = trainer.global_step
        self._total_steps = optimizer_steps(trainer)
        if math.isinf(self._total_steps) and self.start != self.end:
            raise MisconfigurationException(
                f"the EMA runs from {self.start} to {self.end}, and this run has no known length: give the Trainer "
                "max_steps, or the EMA one decay for both."
            )
        self._pairs = [EMAPair(*pair) for pair in self._networks(pl_module)]

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Moves the targets if this batch ended in an optimizer step."""
        if trainer.global_step == self._last_step:
            return
        self._last_step = trainer.global_step
        decay = ema_decay(trainer.global_step - 1, self._total_steps, self.start, self.end, self.schedule)
        pairs = self._networks(pl_module)
        if [(known.online, known.target) for known in self._pairs] != pairs:
            self._pairs = [EMAPair(*pair) for pair in pairs]
        for pair in self._pairs:
            pair.update_(decay)
        pl_module.log("train/ema_decay", decay)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Keeps no network, and no warning from being shown."""
        self._pairs = []
        self._show_warnings()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Lets warnings be shown again."""
        self._show_warnings()

    def _networks(self, module: Any) -> list[tuple[nn.Module, nn.Module]]:
        """Online networks and targets, those of the module first."""
        found = [(online, target) for online, target in module.ema_pairs()] if hasattr(module, "ema_pairs") else []
        for names in self.pairs or ():
            online, target = (self._named(module, name) for name in names)
            if any(parameter.requires_grad for parameter in target.parameters()):
                raise MisconfigurationException(
                    f"EMACallback: '{names[1]}' of {type(module).__name__} receives gradients, and a target follows "
                    f"'{names[0]}' alone: call {names[1]}.requires_grad_(False) in __init__."
                )
            if all(target is not known for _, known in found):
                found.append((online, target))
        if not found:
            raise MisconfigurationException(
                f"EMACallback has nothing to move: {type(module).__name__} has no EMA target. Name networks with "
                "pairs=[('encoder', 'target_encoder')], or leave the callback out."
            )
        return found

    def _named(self, module: nn.Module, name: str) -> nn.Module:
        try:
            return submodule(module, name)
        except ValueError as error:
            raise MisconfigurationException(f"EMACallback: {error}") from None

    def _show_warnings(self) -> None:
        if self._filter in warnings.filters:
            warnings.filters.remove(self._filter)  # type: ignore[attr-defined]
        self._filter = None
