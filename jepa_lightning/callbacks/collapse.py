# B batch, N tokens, D width, S samples kept
"""Watches representations for collapse, which the loss of a JEPA does not show."""

import math
from collections.abc import Iterable
from typing import Annotated, Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor

from jepa_lightning.callbacks.alarms import AlarmBell
from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.probes.fresh import FreshCallback
from jepa_lightning.callbacks.probes.named import NamedCallback
from jepa_lightning.callbacks.sources import Source, is_skipped, normalized
from jepa_lightning.distributed import gather_samples, sum_over_ranks
from jepa_lightning.energy.blind import blind_energy_of
from jepa_lightning.energy.sides import energy_of, has_sides
from jepa_lightning.features import eval_mode
from jepa_lightning.losses import content_share, feature_std, mean_cosine, ranks
from jepa_lightning.options import Interval, PositiveInt, check_options
from jepa_lightning.types import Batch

SHOWN = ("rank", "energy_gap")  # in the progress bar


class CollapseMonitor(NamedCallback, FreshCallback):
    """Measures collapse on training batches, logs it as ``collapse/NAME``, and gives alarms that explain themselves.

    ``rank`` (RankMe), ``effective_rank``, ``std`` and ``cosine`` (between images) are of the pooled features over the
    last ``memory`` samples of all processes, which the training steps of most methods have computed anyway. On any
    LightningModule ``features`` says which features, and these four are all that is measured. A submodule is called on
    the batches just before a measure alone, as many as fill the memory.

    A ``JEPAModule`` has more to measure. Its features are those of the evaluation encoder.
    The same with ``context_`` in front are of the online encoder, over ``num_samples`` only, which bounds the ranks.
    ``content_share`` is the share of the token variance between images at the same position, ``ema_drift`` the distance
    of target and online weights over the length of the latter. ``energy`` is that of true pairs, ``energy_other`` with
    the targets of another image, ``energy_gap`` their difference over the latter: near 0, content is not looked at.
    ``action_gap``, where batches have actions, is the same between true actions and those of another sample.
    ``energy_blind`` is that of predicting the mean of the targets, always (``energy.blind_energy``): an energy that is
    not below it, while targets differ as much as at first, is that of targets in fragments, which nothing predicts. MAE
    and DINO have no such measure (``JEPAModule.can_fragment``).
    ``alarm`` counts the alarms given; each is given once, as a warning.

    Measures are taken before a step, so the order of callbacks does not matter. The first ones, which alarms compare
    with, are taken as soon as the memory is full. Loggers get them at the steps at which they are taken and at no
    other, whatever the Trainer's ``log_every_n_steps``. Features that are not finite give no measures: the module stops
    the run then. A fit without ``ckpt_path`` starts afresh.

    Args:
        every_n_steps: optimizer steps between measures.
        num_samples: images of the batch to encode for the measures that need a forward pass.
        memory: samples over which features are measured; more than D lets the rank be full.
        patience: measures in a row that must be bad before an alarm is given.
        stop: end the run at an alarm.
        features: dotted name of a submodule of any LightningModule, or key of the dict that its step returns; None
            takes the features of a ``JEPAModule``, or what the step returns as ``features``.
        images: index or key of the images in the batch: a tensor, or a sequence of views.
        name: of the measures, in place of ``collapse``, and of the state in checkpoints; two monitors need two names.

    Attributes:
        alarms: step and text of each alarm that was given.

    Raises:
        ValueError: if there is nothing to measure with these numbers.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import CollapseMonitor
        >>> trainer = Trainer(callbacks=[CollapseMonitor(features="backbone", every_n_steps=100)])
    """

    name = "collapse"

    def __init__(
        self,
        every_n_steps: PositiveInt = 50,
        num_samples: Annotated[int, Interval("[2, 1e9]")] = 32,
        memory: Annotated[int, Interval("[2, 1e9]")] = 512,
        patience: PositiveInt = 2,
        stop: bool = False,
        features: str | None = None,
        images: Item = 0,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        self.rename(name)
        self.source = Source(type(self).__name__, features, None, images)
        self.every_n_steps = every_n_steps
        self.num_samples = num_samples
        self.memory = memory
        self.stop = stop
        self.alarms: list[tuple[int, str]] = []
        self._bell = AlarmBell(patience)
        self._recent: Tensor | None = None  # [S, D], the newest last
        self._measured_step = -1
        self._step, self._previous_step = 0, -1  # optimizer steps before this batch, and before the last step

    @property
    def alarm_kinds(self) -> list[str]:
        """Kinds of the alarms given so far: ``rank``, ``std``, ``content``, ``gap``, ``actions``, ``fragments``."""
        return self._bell.kinds

    def reset(self) -> None:
        """Forgets what measures are compared with, and the alarms given."""
        self._bell = AlarmBell(self._bell.patience)
        self.alarms = []
        self._recent, self._measured_step = None, -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes where the run starts or resumes."""
        self._step = trainer.global_step
        self._previous_step = self._step - 1

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Measures every few optimizer steps."""
        step, energetic = trainer.global_step, has_energy(pl_module, batch)
        if step != self._step:
            self._previous_step, self._step = self._step, step
        if step == self._measured_step or not self._is_due(step, energetic):
            return
        if energetic and len(batch.views[0]) < 2:  # an image is compared with another one
            return
        self._measured_step = step
        with torch.no_grad(), eval_mode(pl_module), trainer.precision_plugin.forward_context():
            measures = self._measure(pl_module, batch)
        # the same on all ranks, so that they stop together
        joint = trainer.strategy.reduce(torch.stack([value.float() for value in measures.values()]), reduce_op="mean")
        values = dict(zip(measures, joint.tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            return
        for text in self._bell.check(values, step):
            self.alarms.append((step, text))
            where = f"Step {step}, {self.name}" if self.is_renamed else f"Step {step}"
            rank_zero_warn(f"{where}: {text}{' The run ends here (stop=True).' if self.stop else ''}")
            trainer.should_stop = trainer.should_stop or self.stop
        values["alarm"] = float(self._bell.given)
        for name, value in values.items():
            pl_module.log(f"{self.name}/{name}", value, prog_bar=name in SHOWN, logger=False)
        # the module's log repeats a value at every step that is logged until there is a new one
        for logger in trainer.loggers:
            logger.log_metrics({f"{self.name}/{name}": value for name, value in values.items()}, step=step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keeps the step's features, on every rank those of all: so a resumed rank needs no state of its own."""
        features = self.source.pooled_in(pl_module, outputs)
        if features is None and self._wants_features(trainer, pl_module, outputs, batch):
            features = self.source.pooled(trainer, pl_module, outputs, batch)
        if features is not None:
            features = gather_samples(features.float())
            kept = [features] if self._recent is None else [self._recent.to(features.device), features]
            self._recent = torch.cat(kept)[-self.memory :]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drops features of earlier runs.

        Raises:
            MisconfigurationException: if another monitor has the same name.
        """
        super().setup(trainer, pl_module, stage)
        self.require_own_name(trainer, CollapseMonitor)
        self.source.forget()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drops features that callbacks have shared."""
        super().teardown(trainer, pl_module, stage)
        self.source.forget()

    def state_dict(self) -> dict[str, Any]:
        """What the next measures depend on: with it a resumed run gives the same alarms."""
        return {"bell": self._bell.state_dict(), "alarms": list(self.alarms), "recent": self._recent}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores it."""
        super().load_state_dict(state_dict)
        self._bell.load_state_dict(state_dict["bell"])
        self.alarms = list(state_dict.get("alarms", []))  # checkpoints of before have none
        self._recent = state_dict["recent"]

    def _wants_features(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any) -> bool:
        """Whether features that the step does not return are worth a forward pass: just before a measure."""
        if is_skipped(pl_module, outputs) or (self.source.features is None and has_energy(pl_module, batch)):
            return False
        if not self._bell.first:
            return True
        samples = len(self.source.views(pl_module, batch)[0]) * trainer.world_size
        left = (-1 - trainer.global_step) % self.every_n_steps  # steps between this one and the measure
        return left < math.ceil(self.memory / samples)

    def _is_due(self, step: int, has_energy: bool) -> bool:
        # before the first step it is not known yet whether steps give features
        full = step > 0 and has_energy if self._recent is None else len(self._recent) == self.memory
        # the Trainer logs every n-th step, counted from 1; a batch may take several steps in manual optimization
        passed = (step + 1) // self.every_n_steps > (self._previous_step + 1) // self.every_n_steps
        return full and (not self._bell.first or passed)

    def _measure(self, pl_module: Any, batch: Any) -> dict[str, Tensor]:
        if not has_energy(pl_module, batch):
            return _features(cast(Tensor, self._recent).to(pl_module.device))
        few = normalized(pl_module, batch.take(self.num_samples))  # the step has not begun
        first = few.views[0]
        last = first if few.masks else few.views[-1]  # masks point into one view
        tokens = pl_module(first, pool=False)
        pooled = tokens.mean(dim=1) if self._recent is None else self._recent.to(tokens.device)
        values = _features(pooled) | {"content_share": content_share(tokens)}
        pairs = pl_module.ema_pairs()
        for online, target in pairs:
            if target is pl_module.eval_encoder:
                context = _features(online(first).mean(dim=1))
                values |= {f"context_{name}": value for name, value in context.items()}
        if pairs:
            values["ema_drift"] = _drift(pairs)
        views = few._replace(views=[first, last])
        values |= (energies := _energies(pl_module, views))
        if (actions := views.extras.get("actions")) is not None:
            others = views._replace(extras={**views.extras, "actions": actions.roll(1, 0)})
            values["action_gap"] = _gap(energies["energy"], pl_module.energy(others).mean())
        return values


def has_energy(module: Any, batch: Any) -> bool:
    """Whether a module has an energy to measure, and the batch is of the form that it takes."""
    return isinstance(batch, Batch) and hasattr(module, "energy") and hasattr(module, "ema_pairs")


def _features(pooled: Tensor) -> dict[str, Tensor]:
    rank, effective = ranks(pooled)
    return {"rank": rank, "effective_rank": effective, "std": feature_std(pooled), "cosine": mean_cosine(pooled)}


def _energies(module: Any, views: Batch) -> dict[str, Tensor]:
    """Energies of true pairs, of pairs with another image's target, and of a blind prediction where there is one."""
    if not has_sides(module):
        first, last = views.views
        true = module.energy(views).mean()
        other = module.energy(views._replace(views=[first, last.roll(1, 0)])).mean()
        return {"energy": true, "energy_other": other, "energy_gap": _gap(true, other)}
    sides = module.sides(views)  # encoded once for all three
    others = sides._replace(target=sides.target.roll(1, 0))
    true, other = (energy_of(each, views.masks, module.distance).mean() for each in (sides, others))
    found = {"energy": true, "energy_other": other, "energy_gap": _gap(true, other)}
    if getattr(module, "can_fragment", True):
        found["energy_blind"] = blind_energy_of(sides, views.masks, module.distance).mean()
    return found


def _gap(true: Tensor, other: Tensor) -> Tensor:
    """How much higher the second energy is, over itself."""
    return (other - true) / other.clamp_min(torch.finfo(other.dtype).tiny)


def _drift(pairs: Any) -> Tensor:
    """Length of the difference of all target and online weights, over the length of the online ones."""
    weights = [weight for online, _ in pairs for weight in online.parameters()]
    targets = [weight for _, target in pairs for weight in target.parameters()]
    # with FSDP1 each rank has pieces of them
    pieces = isinstance(pairs[0][0], FullyShardedDataParallel)
    return _length((a - b for a, b in zip(weights, targets, strict=True)), pieces) / _length(weights, pieces)


def _length(tensors: Iterable[Tensor], pieces: bool) -> Tensor:
    # one difference at a time: all of them would be another copy of the weights
    length = torch.stack([tensor.norm() for tensor in tensors]).norm()
    if pieces:
        return sum_over_ranks(length.square()).sqrt()
    # weights of FSDP2 give a result in pieces
    return length.full_tensor() if isinstance(length, DTensor) else length
