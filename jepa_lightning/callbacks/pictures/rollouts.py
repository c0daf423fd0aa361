# K shown clips, C channels, T frames, P panels, H W height and width, N tokens of a frame, D width
"""What a world model imagines, drawn by a small decoder that is trained beside it."""

from typing import Any, NamedTuple

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor

from jepa_lightning.callbacks.pictures.base import Picture, evaluating
from jepa_lightning.callbacks.pictures.sheet import Row, draw_sheet
from jepa_lightning.callbacks.pictures.shown import PANELS, colors_of, panels_of, read_shown
from jepa_lightning.callbacks.probes.frames import FrameProbe
from jepa_lightning.callbacks.probes.loaders import validation_loader
from jepa_lightning.options import LearningRate, PositiveInt, check_options


class _Clips(NamedTuple):
    view: Tensor  # [K, C, T, H, W]
    actions: Tensor  # [K, T - 1, A]


class RolloutPictures(Picture):
    """Draws the frames of clips above what a world model imagines of them: its rollout from the first frame.

    A small decoder turns states into pictures. It is trained on encoded frames beside the module, which it never
    touches: training is the same with and without it. A third row has the states of the true frames through the same
    decoder, so that what the decoder cannot draw is told from what the model did not foresee. The first picture is
    drawn after the first interval, when the decoder has learned something.

    The module needs ``encode`` and ``rollout``, batches need ``extras["actions"]``, and steps return the ``tokens`` of
    all frames, as ``WorldModel`` and its DataModules have them.

    Args:
        every_n_steps: optimizer steps between pictures; None draws after each quarter of the run, or every 1,000 steps
            where its length is not known. The end of the run is drawn in any case.
        num_images: validation clips to show; None shows 4.
        lr: learning rate of the decoder's AdamW.
        name: of the files, and of the state in checkpoints; two of these need two names.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import RolloutPictures
        >>> trainer = Trainer(callbacks=[RolloutPictures(every_n_steps=500)])
    """

    name = "rollouts"

    def __init__(
        self,
        every_n_steps: PositiveInt | None = None,
        num_images: PositiveInt | None = None,
        lr: LearningRate = 2e-3,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(every_n_steps, num_images, name)
        self._decoder = FrameProbe(lr, type(self).__name__)
        self._clips: _Clips | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """As in ``Picture``; the decoder starts afresh."""
        super().setup(trainer, pl_module, stage)
        self._clips = None
        self._decoder.setup(trainer, pl_module, stage)
        missing = [name for name in ("encode", "rollout") if not hasattr(pl_module, name)]
        if stage == "fit" and missing:
            self._give_up(f"{type(pl_module).__name__} has no {' and no '.join(missing)}, as a WorldModel has.")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes where the run starts; nothing is drawn before the decoder has been trained."""
        super().on_train_start(trainer, pl_module)
        self._step = max(self._step, 0)
        self._decoder.on_train_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Trains the decoder."""
        if self._silent:
            return
        try:
            self._decoder.on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        except (ValueError, MisconfigurationException) as error:  # of all ranks alike; training does not stop for it
            self._give_up(str(error))

    def measure(self, trainer: Trainer, module: Any) -> dict[str, Tensor]:
        """Panels uint8 ``[K, P, 3, H, W]`` of each row."""
        clips = self._read(trainer, module)
        with evaluating(trainer, module):
            states = module.encode(clips.view)
            imagined = torch.cat([states[:, :1], module.rollout(states[:, :1], clips.actions)], dim=1)
        rows = {"frames": clips.view, "rollout": self._drawn(imagined), "decoded": self._drawn(states)}
        panels = min(PANELS, clips.view.shape[2])
        return {name: panels_of(colors_of(module, view), panels) for name, view in rows.items()}

    def draw(self, found: dict[str, Tensor], step: int) -> Image.Image:
        """Rows of frames, of the rollout, and of the states of these frames."""
        caption = f"frames, a rollout from the first of them, and the states of all of them, decoded (step {step})"
        return draw_sheet([Row(name, panels) for name, panels in found.items()], caption)

    def state_dict(self) -> dict[str, Any]:
        """The decoder and its optimizer."""
        return self._decoder.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores them."""
        super().load_state_dict(state_dict)
        self._decoder.load_state_dict(state_dict)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Frees the clips."""
        super().teardown(trainer, pl_module, stage)
        self._clips = None
        self._decoder.teardown(trainer, pl_module, stage)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Ends the run."""
        super().on_exception(trainer, pl_module, exception)
        self._decoder.on_exception(trainer, pl_module, exception)

    def _read(self, trainer: Trainer, module: LightningModule) -> _Clips:
        if self._clips is None:
            loader = validation_loader(type(self).__name__, trainer)
            parts = list(read_shown(trainer, module, self.source, loader, self.num_images or self.clips))
            if not parts or not all("actions" in getattr(part.batch, "extras", {}) for part in parts):
                raise ValueError("the validation batches have no extras['actions']: use a DataModule of trajectories")
            taken = [part.batch.extras["actions"][: len(part.view)] for part in parts]
            self._clips = _Clips(torch.cat([part.view for part in parts]), torch.cat(taken))
        return self._clips

    def _drawn(self, states: Tensor) -> Tensor:
        """States ``[K, T, D]`` or ``[K, T, N, D]`` as clips ``[K, C, T, H, W]``."""
        tokens = states.unsqueeze(2) if states.ndim == 3 else states
        frames = self._decoder.decoded(tokens.flatten(0, 1))
        return frames.reshape(*states.shape[:2], *frames.shape[1:]).transpose(1, 2)
