"""A new run that starts from the weights of another one."""

from lightning.pytorch import Callback, LightningModule, Trainer

from jepa_lightning.interop.start import refuse_missing, start_run_
from jepa_lightning.options import Source, check_options


class StartFrom(Callback):
    """Loads the module's weights from a checkpoint of another run at the start of ``fit``; all else is as in a new run.

    For a phase with other data, sizes or schedules: V-JEPA 2 cools down on longer clips and higher resolution. Position
    tables that are computed are left as this run has made them where they have another size. ``--ckpt_path`` is for
    resuming the same run, and puts that run's weights in the place of these.

    Args:
        path: a checkpoint of the Trainer, such as ``logs/VJEPA/version_0/checkpoints/last.ckpt``, a file or a folder
            of shards; a folder of ``save_pretrained`` or of ``transformers``; a file of the authors of I-JEPA and
            V-JEPA, or its published name, such as ``ijepa_vith14_1k``, see ``interop.published.PUBLISHED``; or a
            repository on the hub of Hugging Face, such as ``facebook/ijepa_vith14_1k``, which is downloaded into its
            cache if need be.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import StartFrom
        >>> trainer = Trainer(callbacks=[StartFrom("logs/VJEPA/version_0/checkpoints/last.ckpt")])
    """

    def __init__(self, path: Source) -> None:
        check_options(type(self), locals())
        self.path = path
        self._missing: str | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Loads, before any strategy takes the weights.

        Raises:
            MisconfigurationException: if the weights are not those of this module.
            ValueError: if the file is damaged or holds more than plain data.
        """
        if stage == "fit":
            self._missing = start_run_(pl_module, self.path, "StartFrom")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses to start from nothing; a run that is resumed no longer needs the checkpoint.

        Raises:
            MisconfigurationException: if there is no such checkpoint, or it cannot be downloaded.
        """
        refuse_missing(self._missing, trainer.ckpt_path, "StartFrom")
