# H W height and width
"""Where pictures go: files in the run's folder, and the loggers that take images."""

from pathlib import Path

import numpy as np
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger
from lightning_utilities.core.rank_zero import rank_zero_warn
from PIL import Image

from jepa_lightning.checkpoints import appearing

FOLDER = "pictures"


class ImageLogger:
    """Writes ``RUN/pictures/step_NNNNNN/NAME.png`` and gives the same image to every logger that takes images.

    ``RUN`` is ``Trainer.log_dir``, where checkpoints and ``config.yaml`` are; the step has six digits. A file appears
    whole or not at all, and one that is there already stays as it is. TensorBoard, MLflow and loggers with Lightning's
    ``log_image(key, images, step)``, as ``WandbLogger`` has it, get the image under the tag ``NAME``; others get
    nothing. Rank 0 alone writes.

    Args:
        trainer: in a fit; all ranks build this together, since they ask for the folder together.
        owner: name of the callback, for messages.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from PIL import Image
        >>> from jepa_lightning.callbacks import ImageLogger
        >>> trainer = Trainer(default_root_dir=".", logger=False, enable_checkpointing=False)
        >>> ImageLogger(trainer, "Mine").write("red", Image.new("RGB", (8, 8), "red")).as_posix()
        'pictures/step_000000/red.png'
    """

    def __init__(self, trainer: Trainer, owner: str) -> None:
        self.trainer, self.owner = trainer, owner
        self.folder = str(trainer.log_dir or trainer.default_root_dir)
        self._told = False

    def write(self, name: str, image: Image.Image) -> Path:
        """Writes an image of the present step; ranks other than 0 do nothing.

        Args:
            name: of the file, and the tag in loggers.
            image: in RGB.

        Returns:
            The path of the file.

        Raises:
            ValueError: if the run's folder is not on a local disk; loggers have the image then.
            OSError: if the file cannot be written.
        """
        step = self.trainer.global_step
        path = Path(self.folder, FOLDER, f"step_{step:06d}", f"{name}.png")
        if not self.trainer.is_global_zero:
            return path
        for logger in self.trainer.loggers:
            _send(logger, name, image, step)
        if "://" in self.folder:
            raise ValueError(f"pictures are files on a local disk, and the run's folder is {self.folder}")
        if path.exists():
            self._tell_of(path)
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with appearing(path) as place:
            image.save(place, format="PNG")
        return path

    def _tell_of(self, path: Path) -> None:
        """Names a file of another run, once; a run that resumes draws again what it has drawn before."""
        if not self._told and self.trainer.ckpt_path is None:
            rank_zero_warn(
                f"{self.owner}: {path} is of another run and stays as it is. Give the Trainer a logger or another "
                "default_root_dir to have the pictures of this run."
            )
        self._told = True


def _send(logger: Logger, name: str, image: Image.Image, step: int) -> None:
    if isinstance(logger, TensorBoardLogger):
        logger.experiment.add_image(name, np.asarray(image), global_step=step, dataformats="HWC")
    elif isinstance(logger, MLFlowLogger):
        logger.experiment.log_image(logger.run_id, image, key=name, step=step)
    elif callable(log_image := getattr(logger, "log_image", None)):
        log_image(name, [image], step=step)
