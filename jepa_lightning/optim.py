"""Parameter groups, optimizers by name, and the one schedule of learning rate and weight decay."""

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers  # type: ignore[attr-defined]
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from jepa_lightning.options import Interval

# of those that look at each number of a weight alone; others may need to see the whole of it
ELEMENTWISE = ("adadelta", "adagrad", "adam", "adamax", "adamw", "adan", "lion", "momentum", "nadam", "nadamw", "radam",
               "rmsprop", "sgd")  # fmt: skip

# of those options that torch and timm leave unchecked
OPTION_RANGES = {
    "momentum": Interval("[0, 1)"),
    "dampening": Interval("[0, 1]"),
    "alpha": Interval("[0, 1)"),
    "eps": Interval("[0, inf)"),
    "trust_coeff": Interval("(0, inf)"),
}


def parameter_groups(
    modules: Mapping[str, nn.Module], weight_decay: float, constant: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Splits trainable parameters by module and by whether they are decayed.

    Biases and parameters with at most one axis (norms, scalars) are not decayed. All decayed groups come first, then
    all others, both in the order of the modules: the order of the reference's saved optimizer states.

    Args:
        modules: networks by name, for example the context encoder and the predictor.
        weight_decay: for the decayed groups.
        constant: names of networks whose learning rate stays at its peak.

    Returns:
        Groups for an optimizer, empty ones left out, each with ``name`` (unique; Lightning's learning rate monitor
        shows it), and with ``decay`` and ``constant``, which ``WarmupCosine`` reads.
    """
    groups = []
    for decay in (True, False):
        for name, module in modules.items():
            parameters = [
                parameter
                for key, parameter in module.named_parameters()
                if parameter.requires_grad and decay == ("bias" not in key and _axes(parameter) > 1)
            ]
            if parameters:
                groups.append(
                    {
                        "params": parameters,
                        "name": name if decay else f"{name}-no_decay",
                        "weight_decay": weight_decay if decay else 0.0,
                        "decay": decay,
                        "constant": name in constant,
                    }
                )
    return groups


def _axes(parameter: nn.Parameter) -> int:
    # the shards of FSDP1 are flat; `distributed.wrap_` notes how many axes there were
    axes: int = getattr(parameter, "axes", parameter.ndim)
    return axes


def create_optimizer(
    groups: Iterable[dict[str, Any]],
    name: str,
    lr: float,
    betas: tuple[float, float] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Optimizer:
    """Makes one of timm's optimizers over the groups as they are.

    Args:
        groups: from ``parameter_groups``.
        name: as in ``timm.optim.list_optimizers()``: ``adamw``, ``lars``, ``sgd``, ...
        lr: reference learning rate.
        betas: for optimizers that have them; None leaves the optimizer's own.
        options: further arguments of the optimizer, such as ``momentum`` or LARS's ``trust_coeff``.

    Returns:
        The optimizer.

    Raises:
        ValueError: if there is no optimizer of that name, it takes no betas or other options, an option is out of
            range, or it must see whole weights where a strategy has sharded or flattened them.
    """
    for option, value in (options or {}).items():
        allowed = OPTION_RANGES.get(option)
        if allowed and value not in allowed:
            raise ValueError(f"optimizer '{name}': {option}={value} is out of range: give a number {allowed}.")
    groups = list(groups)
    known = [str(each) for each in list_optimizers()]
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see timm.optim.list_optimizers()."
        raise ValueError(f"there is no optimizer '{name}': {hint}")
    parameters = [parameter for group in groups for parameter in group["params"]]
    flat = any(_axes(parameter) != parameter.ndim for parameter in parameters)
    # timm's divide by the norm of a whole weight, which torch does not let shards do
    if "muon" in name.lower() and (flat or any(isinstance(parameter, DTensor) for parameter in parameters)):
        raise ValueError(
            f"optimizer '{name}' needs whole weights, of which strategies fsdp and fsdp2 leave each rank a piece: use "
            f"strategy ddp, or one of {', '.join(ELEMENTWISE)}."
        )
    if name.lower() not in ELEMENTWISE and flat:
        raise ValueError(
            f"optimizer '{name}' looks at whole weights, of which strategy fsdp leaves each rank a flat piece: use "
            f"strategy fsdp2, or one of {', '.join(ELEMENTWISE)}."
        )
    if betas is not None and not get_optimizer_info(name.lower()).has_betas:
        raise ValueError(f"optimizer '{name}' takes no betas, got {betas}: leave them out.")
    given = dict(options or {}) | ({} if betas is None else {"betas": betas})
    try:
        optimizer: Optimizer = create_optimizer_v2(groups, opt=name, lr=lr, **given)
    except TypeError as error:  # the optimizer names the argument that it does not know
        raise ValueError(f"optimizer '{name}' does not take the options {given}: {error}.") from error
    return optimizer


def optimizer_steps(trainer: Trainer) -> float:
    """Optimizer steps in the run of a Trainer, with ``accumulate_grad_batches`` of each epoch.

    ``Trainer.estimated_stepping_batches`` knows that of the present epoch alone. Infinite where the run has no end, or
    is counted in epochs and the training data has no known length.
    """
    steps = trainer.estimated_stepping_batches
    if steps == -1:  # Lightning's max_steps where nothing else is known
        return math.inf
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    schedulers = [callback for callback in callbacks if isinstance(callback, GradientAccumulationScheduler)]
    batches, epochs = trainer.num_training_batches, trainer.max_epochs
    if not schedulers or math.isinf(batches) or epochs is None or epochs < 0:
        return steps
    each = (math.ceil(batches / schedulers[-1].get_accumulate_grad_batches(epoch)) for epoch in range(max(epochs, 1)))
    return sum(each) if trainer.max_steps == -1 else min(sum(each), trainer.max_steps)


def warmup_steps(warmup: int | float | str, total_steps: float, steps_per_epoch: float, name: str = "warm-up") -> int:
    """Turns a warm-up as people write it into optimizer steps.

    Args:
        warmup: a whole number of steps, a fraction of the run below 1, or a text such as ``"40 epochs"``,
            ``"500 steps"`` or ``"10%"``.
        total_steps: optimizer steps in the run.
        steps_per_epoch: optimizer steps in an epoch.
        name: of the option, for messages.

    Returns:
        Optimizer steps, rounded.

    Raises:
        ValueError: if the warm-up is none of these, or counts in something of unknown length.
    """
    if isinstance(warmup, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(epoch|step|%)s?\s*", warmup)
        if match:
            per_unit = {"epoch": steps_per_epoch, "step": 1.0, "%": total_steps / 100}[match[2]]
            return _whole(name, warmup, float(match[1]) * per_unit)
    elif isinstance(warmup, int) and warmup >= 0:
        return warmup
    elif 0 <= warmup < 1:
        return _whole(name, warmup, warmup * total_steps)
    raise ValueError(
        f"{name} {warmup!r} is not understood: give whole steps (500), a fraction of the run below 1 (0.1), or a "
        "text with its unit ('40 epochs', '500 steps', '10%')."
    )


def _whole(name: str, warmup: float | str, steps: float) -> int:
    if not math.isfinite(steps):
        raise ValueError(
            f"{name} {warmup!r} cannot be turned into steps, because the run or its epochs have no known length: "
            f"give the {name} in steps and the Trainer max_steps."
        )
    return round(steps)


# of a group, whatever its optimizer's saved state says
SET_ANEW = ("initial_lr", "initial_weight_decay", "constant")


class WarmupCosine(LRScheduler):
    """Moves learning rate and weight decay at every optimizer step: linear warm-up, cosine, floor.

    The learning rate runs from ``start_lr`` at the first step to the optimizer's own at step ``warmup_steps``, then
    along a cosine to ``final_lr`` at the last step, and stays there. Weight decay follows a cosine over the whole run,
    without warm-up. Both are set on construction, before the first step. Groups with a learning rate of their own keep
    its ratio to the optimizer's. Source: arXiv 2301.08243, appendix A.1; its weight decay is a cosine in the code.

    With Lightning, return it with ``"interval": "step"``. A saved state holds the step alone: resumed with another
    horizon or rate, the run follows the new ones from that step on.

    Args:
        optimizer: holds the peak learning rate and the first weight decay. Its groups may carry ``decay``: False keeps
            their weight decay as it is. Without the key, groups with a weight decay of 0 are left alone. Groups whose
            ``constant`` is True keep their learning rate.
        total_steps: optimizer steps in the run.
        warmup_steps: steps before the peak; 0 starts at the peak.
        start_lr: learning rate of the first step.
        final_lr: learning rate of the last step and the floor after it.
        weight_decay_end: weight decay of the last step; None keeps it constant.
        linear: fall along a line to ``final_lr`` instead of a cosine, as V-JEPA 2 cools down.
        legacy: count from 1 as the reference does, so that the first step is already one step up the warm-up and the
            last value is reached at ``total_steps``. The reference's rates rise again after that; these never do.
        given: names of further options of the optimizer that were given, such as ``betas``. A resumed run takes them
            as they are given now; the optimizer's state, which is loaded before the schedule's, brings back old ones.

    Raises:
        ValueError: if the horizon is not a positive number of steps, the warm-up does not end before it, or the
            optimizer's learning rate is 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup_steps: int = 0,
        start_lr: float = 0.0,
        final_lr: float = 0.0,
        weight_decay_end: float | None = None,
        legacy: bool = False,
        linear: bool = False,
        given: Iterable[str] = (),
    ) -> None:
        if not 1 <= total_steps < math.inf:
            raise ValueError(
                f"a schedule over {total_steps} steps is not possible: set max_steps, or max_epochs where the length "
                "of the data is known."
            )
        if not 0 <= warmup_steps < total_steps:
            raise ValueError(
                f"a warm-up of {warmup_steps} steps does not end within {total_steps} steps in total: "
                "shorten the warm-up or train longer."
            )
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.start_lr = start_lr
        self.final_lr = final_lr
        self.weight_decay_end = weight_decay_end
        self.legacy, self.linear = legacy, linear
        self.peak_lr = float(optimizer.defaults["lr"])
        if self.peak_lr <= 0:
            raise ValueError(f"the schedule needs a learning rate above 0, got {self.peak_lr}.")
        for group in optimizer.param_groups:
            # kept in the group like torch's initial_lr: an optimizer loaded beforehand carries a decay of midway
            group.setdefault("initial_weight_decay", group["weight_decay"])
        self.base_weight_decays = [group["initial_weight_decay"] for group in optimizer.param_groups]
        self.decays = [group.get("decay", group["initial_weight_decay"] > 0) for group in optimizer.param_groups]
        super().__init__(optimizer)
        names = (*SET_ANEW, *given)
        self.settings = [{name: group[name] for name in names if name in group} for group in optimizer.param_groups]

    def get_lr(self) -> list[float]:  # type: ignore[override]  # torch 2.5 says list[float], later ones allow tensors
        """Learning rate of each group at the present step."""
        step, last = self._position()
        if step < self.warmup_steps:
            lr = self.start_lr + step / self.warmup_steps * (self.peak_lr - self.start_lr)
        else:
            fall = _line if self.linear else _cosine
            lr = fall(self.peak_lr, self.final_lr, step - self.warmup_steps, last - self.warmup_steps)
        return [
            float(base) if group.get("constant") else lr * float(base) / self.peak_lr
            for base, group in zip(self.base_lrs, self.optimizer.param_groups, strict=True)
        ]

    def get_weight_decay(self) -> list[float]:
        """Weight decay of each group at the present step."""
        if self.weight_decay_end is None:
            return list(self.base_weight_decays)
        step, last = self._position()
        return [
            _cosine(base, self.weight_decay_end, step, last) if decay else base
            for base, decay in zip(self.base_weight_decays, self.decays, strict=True)
        ]

    def get_last_lr(self) -> list[float]:  # type: ignore[override]
        """Learning rate of each group as the optimizer has it now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, epoch: int | None = None) -> None:
        """Sets both for the next optimizer step; call it after each optimizer step."""
        super().step(epoch)
        self._set_weight_decay()

    def state_dict(self) -> dict[str, Any]:
        """The number of optimizer steps done, as ``last_epoch``."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes to the saved step and sets the optimizer's learning rates and weight decays for it."""
        super().load_state_dict({"last_epoch": state_dict["last_epoch"]})
        for group, settings in zip(self.optimizer.param_groups, self.settings, strict=True):
            group.update(settings)
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._set_weight_decay()

    def _set_weight_decay(self) -> None:
        for group, weight_decay in zip(self.optimizer.param_groups, self.get_weight_decay(), strict=True):
            group["weight_decay"] = weight_decay

    def _position(self) -> tuple[int, int]:
        """The present step and the last one, in the count of the mode."""
        return (self.last_epoch + 1, self.total_steps) if self.legacy else (self.last_epoch, self.total_steps - 1)


def _cosine(start: float, end: float, step: int, last: int) -> float:
    """Half a cosine from start at step 0 to end at the last step, where it stays."""
    progress = min(step / max(last, 1), 1.0)
    return end + (start - end) / 2 * (1 + math.cos(math.pi * progress))


def _line(start: float, end: float, step: int, last: int) -> float:
    """A line from start at step 0 to end at the last step, where it stays."""
    return start + (end - start) * min(step / max(last, 1), 1.0)
