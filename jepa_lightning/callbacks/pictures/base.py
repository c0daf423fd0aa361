# K shown samples
"""What callbacks that draw share: when they draw, what they show, and that no fault of theirs stops training."""

import math
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from lightning_utilities.core.rank_zero import rank_zero_warn
from PIL import Image

from jepa_lightning.callbacks.pictures.image_logger import ImageLogger
from jepa_lightning.callbacks.pictures.shown import Shown, first_shown
from jepa_lightning.callbacks.probes.fresh import FreshCallback
from jepa_lightning.callbacks.probes.loaders import validation_loader
from jepa_lightning.callbacks.probes.named import NamedCallback
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.features import eval_mode
from jepa_lightning.optim import optimizer_steps
from jepa_lightning.options import PositiveInt

PARTS = 4  # of a run, with a picture after each
UNKNOWN = 1000  # steps between pictures of a run of unknown length
IMAGES, CLIPS = 8, 4  # shown by default


class Picture(NamedCallback, FreshCallback):
    """Draws one picture of the same samples again and again during a fit.

    It is drawn before the first step, every ``every_n_steps`` optimizer steps and at the end, and goes to
    ``RUN/pictures/step_NNNNNN/NAME.png`` and to the loggers (``ImageLogger``). The samples are a fixed draw from the
    first validation loader, in its first view. Nothing of this changes training, and training never stops for a
    picture: where one cannot be drawn, there is one warning with the reason, and this callback draws no more.

    Args:
        every_n_steps: optimizer steps between pictures; None draws after each quarter of the run, or every 1,000 steps
            where its length is not known.
        num_images: samples to show, or as many as there are; None shows 8 images or 4 clips.
        name: of the files, and of the state in checkpoints; two pictures need two names.
        source: where features, images and labels are; None has those of a ``JEPAModule`` and its batches.

    Raises:
        ValueError: if the name is not made of letters, digits, ``_`` and ``-``.
    """

    clips = CLIPS

    def __init__(
        self,
        every_n_steps: PositiveInt | None = None,
        num_images: PositiveInt | None = None,
        name: str | None = None,
        source: Source | None = None,
    ) -> None:
        self.rename(name)
        self.source = source or Source(type(self).__name__, labels=None)
        self.every_n_steps, self.num_images = every_n_steps, num_images
        self._logger: ImageLogger | None = None
        self._shown: Shown | None = None
        self._silent = False
        self._interval = 1
        self._drawn_step = -1
        self._step = 0  # optimizer steps before the last batch

    @abstractmethod
    def measure(self, trainer: Trainer, module: Any) -> Any:
        """What is drawn; all ranks do this together, and may draw random numbers."""

    @abstractmethod
    def draw(self, found: Any, step: int) -> Image.Image:
        """The picture of what ``measure`` has found, on rank 0."""

    def send(self, trainer: Trainer, found: Any) -> None:
        """Gives loggers more than the picture, on rank 0."""

    def missing(self) -> str | None:
        """Why there can be no picture in this environment, and what to do."""
        return None

    def reset(self) -> None:
        """Forgets earlier runs."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Says in one line if there can be no picture.

        Raises:
            MisconfigurationException: if another picture has the same name.
        """
        super().setup(trainer, pl_module, stage)
        self.require_own_name(trainer, Picture)
        self._shown, self._silent, self._drawn_step = None, False, -1
        if stage == "fit" and (reason := self.missing()):
            self._give_up(reason)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes where the run starts or resumes, and how long it is."""
        self._step = trainer.global_step - 1
        self._interval = self.every_n_steps or _quarter(trainer)
        self._logger = ImageLogger(trainer, type(self).__name__)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Draws where it is due: before a step, so that the order of callbacks does not matter."""
        step, before = trainer.global_step, self._step
        self._step = step
        # a batch may take several steps in manual optimization
        if step // self._interval > before // self._interval:
            self._picture(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draws what training has come to."""
        self._picture(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Frees the samples."""
        super().teardown(trainer, pl_module, stage)
        self._shown, self._logger = None, None

    def shown(self, trainer: Trainer, module: LightningModule) -> Shown:
        """The samples of the picture, read once a run.

        Raises:
            MisconfigurationException: if there are no validation samples.
            ValueError: if they are no images.
        """
        if self._shown is None:
            loader = validation_loader(type(self).__name__, trainer)
            found = first_shown(trainer, module, self.source, loader, self.num_images or IMAGES)
            few = self.num_images is None and found.view.ndim == 5
            self._shown = Shown(found.view[: self.clips], found.batch) if few else found
        return self._shown

    def _picture(self, trainer: Trainer, module: LightningModule) -> None:
        step = trainer.global_step
        if self._silent or step == self._drawn_step or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._drawn_step = step
        fault: Exception | None = None
        try:
            with isolate_rng(include_cuda=False):
                found = self.measure(trainer, module)
                if trainer.is_global_zero:
                    assert self._logger is not None
                    self._logger.write(self.name, self.draw(found, step))
                    self.send(trainer, found)
        except Exception as error:  # training does not stop for a picture, whatever is wrong with it
            fault = error
        # forward passes of sharded networks need all ranks: all of them draw, or none
        if not trainer.strategy.reduce_boolean_decision(fault is None):
            self._give_up(f"at step {step}, {_reason(fault)}" if step else _reason(fault))

    def _give_up(self, reason: str) -> None:
        self._silent = True
        owner = type(self).__name__
        rank_zero_warn(f"{reason if reason.startswith(owner) else f'{owner}: {reason}'} It draws nothing from here on.")


@contextmanager
def evaluating(trainer: Trainer, module: LightningModule) -> Iterator[None]:
    """Runs a block in eval mode, without gradients and in the Trainer's precision."""
    with torch.no_grad(), eval_mode(module), trainer.precision_plugin.forward_context():
        yield


def _quarter(trainer: Trainer) -> int:
    steps = optimizer_steps(trainer)
    return max(1, math.ceil(steps / PARTS)) if math.isfinite(steps) else UNKNOWN


def _reason(fault: Exception | None) -> str:
    """A fault in one line that ends in a full stop."""
    if fault is None:
        return "another process could not draw it."
    named = isinstance(fault, (ValueError, MisconfigurationException))
    text = " ".join(str(fault).split())
    return f"{text if named else f'{type(fault).__name__}: {text}'}".rstrip(".: ") + "."
