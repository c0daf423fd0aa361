"""The options of a module: checked, saved in its checkpoints, and those of its optimizer and schedule."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from jepa_lightning.modules.optimization import optimizer_and_schedule
from jepa_lightning.modules.portable import Portable
from jepa_lightning.modules.unused_options import refuse_rate_of_another, refuse_unused
from jepa_lightning.optim import parameter_groups
from jepa_lightning.options import (
    FinalRate,
    FiniteFloat,
    Interval,
    LearningRate,
    Length,
    NonNegativeFloat,
    ShareBelowOne,
    check_options,
)


class Scheduled(Portable):
    """A module with one optimizer and one schedule, given by name.

    Options of all subclasses are plain data, which this class checks and saves, so that checkpoints load without
    arguments.

    Args:
        optimizer: name of the optimizer, any of ``timm.optim.list_optimizers()``.
        lr: learning rate after the warm-up, the highest of the run.
        start_lr: learning rate of the first step, where the warm-up starts.
        final_lr: learning rate of the last step.
        weight_decay: weight decay of the first step, for all weights but biases and norms, which have none.
        final_weight_decay: weight decay of the last step, reached along a cosine; None keeps ``weight_decay`` in the
            whole run.
        betas: decay rates of the optimizer's moving averages; None takes the optimizer's own defaults.
        optimizer_options: further arguments of the optimizer, such as ``momentum``, or ``trust_coeff`` of LARS.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%".
        legacy_schedule: set the learning rate of a step as the reference does, which moves its schedule before the step
            instead of after it.
        lr_decay: how the learning rate falls after the warm-up: along a ``cosine`` or a ``linear`` function.
        schedule_stretch: length of the schedule of learning rate and weight decay, over the length of the run. Above 1
            the run stops before the schedule has ended; V-JEPA has 1.25.
    """

    constant_lr: Collection[str] = ()  # networks whose learning rate stays at its peak
    # samples a step, on all devices, that the default ``lr`` is for, where the paper has a rule for others; else None
    paper_batch: int | None = None
    paper_rule: ClassVar[Literal["linear", "square root"]] = "linear"  # how that rule has the rate follow the batch
    not_plain: ClassVar[Sequence[str]] = ()  # options that may be no plain data, which the subclass saves by itself

    def __init__(
        self,
        optimizer: str = "adamw",
        lr: LearningRate = 1e-3,
        start_lr: FinalRate = 2e-4,
        final_lr: FinalRate = 1e-6,
        weight_decay: NonNegativeFloat = 0.04,
        final_weight_decay: NonNegativeFloat | None = 0.4,
        betas: tuple[ShareBelowOne, ShareBelowOne] | None = None,
        optimizer_options: dict[str, bool | FiniteFloat | str] | None = None,
        warmup: Length = 0.1,
        legacy_schedule: bool = False,
        lr_decay: Literal["cosine", "linear"] = "cosine",
        schedule_stretch: Annotated[float, Interval("[1, 1e6]")] = 1.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=list(self.not_plain))  # every argument of the subclass too
        check_options(type(self), self.hparams)
        refuse_unused(type(self), self.unused_options(self.hparams), self.hparams)
        refuse_rate_of_another(type(self), self.hparams)
        self.optimizer_name = optimizer
        self.lr, self.start_lr, self.final_lr = lr, start_lr, final_lr
        self.weight_decay, self.final_weight_decay = weight_decay, final_weight_decay
        self.betas, self.optimizer_options = betas, optimizer_options
        self.warmup, self.legacy_schedule = warmup, legacy_schedule
        self.lr_decay, self.schedule_stretch = lr_decay, schedule_stretch

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Options that have no effect beside the others, each with the reason; values of them are refused.

        Args:
            options: all options by name.
        """
        return {}

    def optimizer_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the optimizer: by network, and by whether they are decayed."""
        return parameter_groups(dict(self.named_children()), self.weight_decay, self.constant_lr)

    def configure_optimizers(self) -> Any:
        """One optimizer by name and one schedule for learning rate and weight decay, moved at every optimizer step."""
        return optimizer_and_schedule(self)
