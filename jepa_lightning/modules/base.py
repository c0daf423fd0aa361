# B batch, C channels, H W height and width, T frames, N tokens, D width, L layers
"""The LightningModule that every method is: one file a method, with `objective` and `pipeline` to write."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.distributed import data_parallel_mesh, shard_, share_statistics_, wrap_
from jepa_lightning.ema import EMACallback, EMASchedule, check_pair
from jepa_lightning.features import encode
from jepa_lightning.modules.dense_features import DenseFeatures
from jepa_lightning.modules.finite_loss import FiniteLoss
from jepa_lightning.modules.preprocessing import preprocess
from jepa_lightning.modules.pretrained import Pretrained
from jepa_lightning.modules.rounded_labels import warn_of_rounded_labels
from jepa_lightning.modules.scheduled import Scheduled
from jepa_lightning.modules.slow_bfloat16 import warn_of_slow_bfloat16
from jepa_lightning.modules.small_batch import warn_of_small_batch
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import compile_blocks
from jepa_lightning.optim import optimizer_steps
from jepa_lightning.options import EMARange, Source
from jepa_lightning.seeding import seeded_chance
from jepa_lightning.types import Batch, Labels, StepOutput


class JEPAModule(DenseFeatures, Pretrained, Scheduled, ABC):
    """What all methods share: the step, the optimizer and its schedule, features, and the wiring of the EMA target.

    A subclass builds its networks in ``__init__`` and writes ``objective`` and ``pipeline``. Networks are used by
    calling them, and the module holds no parameters but theirs: sharding relies on both.

    Args:
        ema: decay of the EMA target at the first and at the last step. Methods without a target refuse it.
        ema_schedule: how the decay of the target goes from the first value of ``ema`` to the second: ``linear`` or
            ``cosine``.
        compile: compile each transformer block with ``torch.compile``; the first step then takes a minute or more. Not
            with FSDP1.
        start_from: weights that a new run starts from: a checkpoint, a folder, a published name or a repository on the
            hub of Hugging Face, as in the callback ``StartFrom``. A run that is resumed, and a module that is loaded,
            have their own.
        kwargs: optimizer and schedule, as in ``Scheduled``.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from jepa_lightning import JEPAModule
        >>> from jepa_lightning.data.pipelines import masked_image_pipeline
        >>> from jepa_lightning.masking import RandomMask
        >>> from jepa_lightning.nn import VisionTransformer
        >>> from jepa_lightning.types import StepOutput
        >>> class MeanColor(JEPAModule):  # the visible patches predict the mean color of the image
        ...     def __init__(self, image_size: int = 32, **kwargs):
        ...         super().__init__(**kwargs)
        ...         self.encoder = VisionTransformer(image_size, patch_size=8, width=48, depth=1, heads=3)
        ...         self.head = nn.Linear(48, 3)
        ...
        ...     def pipeline(self):
        ...         return masked_image_pipeline((32, 32), RandomMask(self.encoder.grid_size, 0.75))
        ...
        ...     @property
        ...     def eval_encoder(self):
        ...         return self.encoder
        ...
        ...     def energy(self, batch):
        ...         visible = self.encoder(batch.views[0], keep=batch.masks[0].context)
        ...         colors = batch.views[-1].mean(dim=(2, 3))
        ...         return (self.head(visible.mean(dim=1)) - colors).square().mean(dim=1)
        ...
        ...     def objective(self, batch, progress):
        ...         return StepOutput(self.energy(batch).mean(), None, {})
        >>> module = MeanColor(lr=3e-4)
        >>> module(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 48])
    """

    traits: ClassVar[Traits | None] = None  # what ``jepa-lightning methods`` says of it
    # whether validation and test compute the objective on the deterministic view and log it; otherwise features alone
    objective_in_validation: bool = True
    # blocks whose outputs ``predict`` puts side by side; None takes the last one's
    predict_layers: Sequence[int] | None = None
    # whether an energy as high as that of a blind prediction is a bad sign: where it is a distance to learned targets
    can_fragment: ClassVar[bool] = True
    media_axes: ClassVar[int] = 3  # of one image [C, H, W]; 4 where samples are videos [T, C, H, W]
    predict_tokens: bool = False  # whether ``predict`` gives the features of each token too
    least_samples: int = 1  # smallest batch that has a loss; the last batch of an evaluation may be smaller

    def __init__(
        self,
        ema: EMARange = (0.996, 1.0),
        ema_schedule: EMASchedule = "linear",
        compile: bool = False,
        start_from: Source | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.start_from = start_from
        self.ema, self.ema_schedule, self.compile_blocks = ema, ema_schedule, compile
        self._seed: int | None = None
        self._finite_loss = FiniteLoss()
        self._total_steps: float | None = None
        self._batch_is_judged = False

    @abstractmethod
    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """The method itself: loss, features and figures of one batch. Must not log or access the Trainer.

        Args:
            batch: what the pipeline's collate gave.
            progress: share of the run that is done, in [0, 1].
        """

    @abstractmethod
    def pipeline(self) -> Pipeline:
        """Transforms and collate of this method, with masks for its token grid."""

    @abstractmethod
    def energy(self, batch: Batch) -> Tensor:
        """How incompatible the context of the first view and the target of the last are, ``[B]``; low is compatible.

        A batch of ``[view, view.roll(1, 0)]`` gives the energy of each image with the next one's targets.
        """

    @property
    @abstractmethod
    def eval_encoder(self) -> nn.Module:
        """The network that is probed and exported, ``[B, C, H, W]`` to tokens ``[B, N, D]``; often the EMA target."""

    def ema_pairs(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Pairs of (online network, EMA target)."""
        return ()

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: the decay of a target that the method does not have."""
        unused = super().unused_options(options)
        if cls.ema_pairs is JEPAModule.ema_pairs:
            unused |= dict.fromkeys(("ema", "ema_schedule"), "the method has no EMA target")
        return unused

    def forward(self, x: Tensor, layers: Sequence[int] | None = None, pool: bool = True) -> Tensor:
        """Features of the evaluation encoder.

        Args:
            x: ``[B, C, H, W]`` or ``[B, C, T, H, W]``.
            layers: blocks whose outputs are put side by side, for multi-layer probes; None takes the last one's.
            pool: average over the tokens.

        Returns:
            ``[B, D]``, or ``[B, N, D]`` without pooling; ``L * D`` wide with L layers.
        """
        taken: list[Tensor] = [self.eval_encoder(x)] if layers is None else self.eval_encoder(x, layers=layers)
        # pooled one by one: the stages of a convolutional network differ in N
        return torch.cat([tokens.mean(dim=1) for tokens in taken] if pool else taken, dim=-1)

    def preprocess(self, images: Any) -> Tensor:
        """Images as ``forward`` takes them: resized, cropped and normalized as in validation and ``predict``.

        Args:
            images: one image or a sequence of them: PIL images, tensors ``[C, H, W]`` or ``[B, C, H, W]``, arrays
                ``[H, W, C]`` or ``[B, H, W, C]``; uint8, uint16, or floats of 0 to 1. A module for clips takes videos:
                tensors ``[T, C, H, W]`` or ``[B, T, C, H, W]``, or what its data sets give.

        Returns:
            ``[B, C, H, W]`` or ``[B, C, T, H, W]``, on the module's device; B is 1 for one image.

        Raises:
            ValueError: if one is not an image, if the sequence is empty, or if the module shows each video in several
                views.
        """
        return preprocess(self.pipeline(), images, self.media_axes).to(self.device)

    def normalized(self, batch: Batch) -> Batch:
        """A batch on the module's device as ``objective`` takes it; steps call this."""
        return batch

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor | None]:
        """One step; callbacks find ``loss``, ``features`` and ``tokens`` in its output."""
        return self._step(batch, batch_idx, "train")

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor | None]:
        """Features for the probes, and the objective on the deterministic view where ``objective_in_validation``."""
        return self._step(batch, batch_idx, "val")

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Tensor | None]:
        """As in validation."""
        return self._step(batch, batch_idx, "test")

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> dict[str, Any]:
        """Features ``[B, D]``, labels and paths of one batch, and tokens ``[B, N, D]`` or None.

        Features and tokens are those of ``predict_layers``; tokens are None unless ``predict_tokens``.
        """
        self._check_batch(batch)
        tokens = encode(self, batch.views, layers=self.predict_layers, pool=False) if self.predict_tokens else None
        features = (
            encode(self, batch.views, layers=self.predict_layers, pool=True) if tokens is None else tokens.mean(dim=1)
        )
        return {"features": features, "labels": _own_memory(batch.labels), "paths": batch.paths, "tokens": tokens}

    def configure_model(self) -> None:
        """Compiles the blocks where asked to, then shards the networks where the strategy does that.

        Raises:
            ValueError: if ``compile`` has no effect.
            MisconfigurationException: if FSDP1 is to train compiled blocks.
        """
        if self.compile_blocks and not compile_blocks(self):
            raise ValueError(
                f"{type(self).__name__}: compile=True has no effect, since there are no transformer blocks in its "
                "networks: leave it out."
            )
        if self.device_mesh is None:
            if wrap_(self) and self.compile_blocks:
                # blocks are compiled again when masks of another size come, and torch 2.14 then meets gradients of
                # shards beside gathered weights, which it does not take
                raise MisconfigurationException(
                    "compile=True: torch does not compile the blocks of FSDP1 (FSDPStrategy). Use "
                    "jepa_lightning.FSDP2Strategy, or leave compile out."
                )
        else:
            shard_(self, data_parallel_mesh(cast(ModelParallelStrategy, self.trainer.strategy).device_mesh))
        for online, target in self.ema_pairs():
            check_pair(online, target)

    def configure_callbacks(self) -> list[Callback]:
        """The EMA callback of the targets, unless the Trainer already has one."""
        has_own = any(isinstance(callback, EMACallback) for callback in self.trainer.callbacks)  # type: ignore[attr-defined]
        return [] if has_own or not self.ema_pairs() else [EMACallback(*self.ema, self.ema_schedule)]

    def on_fit_start(self) -> None:
        """Records the dropout seed; refuses callbacks that monitor a validation loss that is not logged."""
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if getattr(callback, "monitor", None) == "val/loss" and not self.objective_in_validation:
                raise MisconfigurationException(
                    f"{type(callback).__name__} monitors val/loss, and {type(self).__name__} logs no val/loss: its "
                    "validation shows one view of an image, of which there is no loss. Monitor val/knn or val/linear "
                    "with mode max (callbacks OnlineKNN and OnlineLinearProbe), or train/loss."
                )
        super().on_fit_start()
        warn_of_slow_bfloat16(self)
        self._total_steps, self._batch_is_judged = None, False
        self._seed = torch.initial_seed() if self._seed is None else self._seed

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Saves the dropout seed, unless the last loss was not finite."""
        self._finite_loss.check()
        super().on_save_checkpoint(checkpoint)
        checkpoint["seed"] = self._seed

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restores the dropout seed."""
        super().on_load_checkpoint(checkpoint)
        self._seed = checkpoint.get("seed")

    def on_before_backward(self, loss: Tensor) -> None:
        """Stops training with a FloatingPointError when the loss is not finite: on a GPU, that of the step before."""
        self._finite_loss.add(loss, self.global_step, self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_start(self) -> None:
        """Stops validation with a FloatingPointError when the last training loss was not finite."""
        self._finite_loss.check()

    def on_train_end(self) -> None:
        """Checks the last loss."""
        self._finite_loss.check()

    def train(self, mode: bool = True) -> "JEPAModule":
        """Sets the mode; EMA targets stay in eval mode."""
        super().train(mode)
        for _, target in self.ema_pairs():
            target.eval()
        return self

    def _step(self, batch: Batch, batch_idx: int, stage: str) -> dict[str, Tensor | None]:
        self._check_batch(batch)
        if (normalized := self.normalized(batch)) is not batch:
            # in place, since callbacks get this batch after the step; Lightning's hook is left to subclasses
            batch.views[:] = normalized.views
            batch = normalized
        size, training = len(batch.views[0]), stage == "train"
        if training and not self._batch_is_judged:
            self._batch_is_judged = True
            warn_of_small_batch(self, size)
            warn_of_rounded_labels(batch)
        if not training and not (self.objective_in_validation and size >= self.least_samples):
            tokens = encode(self, batch.views, pool=False)
            return {"loss": None, "features": tokens.mean(dim=1), "tokens": tokens}
        numbers = (self._seed or 0, self.global_rank, self.global_step, batch_idx) if training else (0,)
        with seeded_chance(*numbers, device=self.device):
            output = self.objective(batch, self._progress())
        if training:
            share_statistics_(self)
        self.log(f"{stage}/loss", output.loss.detach(), prog_bar=True, batch_size=size, sync_dist=not training)
        named = {f"{stage}/{name}": value for name, value in output.logs.items()}
        self.log_dict(named, batch_size=size, sync_dist=not training)
        if training or (output.features is not None and len(batch.views) == 1):
            return {"loss": output.loss, "features": output.features, "tokens": output.tokens}
        return {"loss": output.loss, "features": encode(self, batch.views, pool=True), "tokens": None}

    def _progress(self) -> float:
        """Share of the run that is done; 1 outside of training."""
        if self.trainer.state.fn != TrainerFn.FITTING:
            return 1.0
        if self._total_steps is None:
            self._total_steps = optimizer_steps(self.trainer)
        return min(1.0, self.global_step / max(1, self._total_steps))

    def _check_batch(self, batch: Any) -> None:
        if not isinstance(batch, Batch):
            raise TypeError(
                f"{type(self).__name__} takes a jepa_lightning.types.Batch, not {type(batch).__name__}: make it with "
                "DataLoader(dataset, collate_fn=module.pipeline().collate)."
            )


def _own_memory(labels: Labels | None) -> Labels | None:
    """A copy: tensors of a worker hold a file descriptor of shared memory each, for as long as they are kept."""
    if isinstance(labels, dict):
        return {name: column.clone() for name, column in labels.items()}
    return None if labels is None else labels.clone()
