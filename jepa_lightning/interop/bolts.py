"""DataModules of lightning-bolts under a Lightning 2 Trainer."""

from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.utils.data import Dataset

from jepa_lightning.data import JEPADataModule
from jepa_lightning.data.images.torchvision_sets import WithoutPath


class BoltsDataModule(JEPADataModule):
    """The training and validation images of a bolts ``VisionDataModule``, shown as the module in training asks for.

    A bolts DataModule is one of the ``pytorch_lightning`` package, which a ``lightning`` Trainer refuses. Its own
    transforms, batch size and loaders are left aside; data sets, split and download are used. Install the extra
    ``bolts``.

    Args:
        bolts: for example ``pl_bolts.datamodules.CIFAR10DataModule("data")``.
        options: of ``JEPADataModule``.

    Raises:
        MisconfigurationException: if it is no such DataModule.
    """

    def __init__(self, bolts: Any, **options: Any) -> None:
        super().__init__(**options)
        if not (hasattr(bolts, "train_transforms") and hasattr(bolts, "num_classes")):
            raise MisconfigurationException(
                f"BoltsDataModule takes a VisionDataModule of pl_bolts with num_classes, not {type(bolts).__name__}: "
                "give it pl_bolts.datamodules.CIFAR10DataModule(...) or one like it."
            )
        self.bolts = bolts

    @property
    def num_classes(self) -> int:
        """Number of classes, as the bolts DataModule has it."""
        return int(self.bolts.num_classes)

    def prepare_data(self) -> None:
        """Downloads what is missing, as the bolts DataModule does."""
        self.bolts.prepare_data()

    def build_datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """Its two splits, with images as they are in the files."""
        self.bolts.train_transforms = self.bolts.val_transforms = _as_it_is
        self.bolts.setup("fit")
        return WithoutPath(self.bolts.dataset_train), WithoutPath(self.bolts.dataset_val)


def _as_it_is(image: Any) -> Any:
    # None would bring the default transforms back
    return image
