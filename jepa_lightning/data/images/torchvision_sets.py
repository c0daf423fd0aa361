"""Data sets that torchvision downloads. ImageNet is not among them: unpack it and use `ImageFolderDataModule`."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset, Subset
from torchvision.datasets import CIFAR10, CIFAR100, STL10

from jepa_lightning.data.base import JEPADataModule


class WithoutPath(Dataset[tuple[Any, int, None]]):
    """Samples of (image, class) as (image, class, path), without one."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Any, int, None]:
        return *self.source[index], None


class TorchvisionDataModule(JEPADataModule):
    """A data set with a training and a test split, which validates.

    Args:
        root: folder of the data set.
        download: fetch what is missing there.
        options: of `JEPADataModule`.
    """

    class_names: tuple[str, ...]

    def __init__(self, root: str | Path = "data", download: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.root = Path(root).expanduser()
        self.download = download

    @abstractmethod
    def open_split(self, train: bool, download: bool) -> Any:
        """Torchvision's data set of one split."""

    @property
    def num_classes(self) -> int:
        """Number of classes; known after `setup`."""
        return len(self.class_names)

    def prepare_data(self) -> None:
        """Downloads what is missing, once per machine.

        Raises:
            ConnectionError: if that fails.
        """
        if not self.download:
            return
        try:
            # one archive holds all the splits, and this one is soon opened
            self.open_split(train=False, download=True)
        except (OSError, RuntimeError) as error:
            raise ConnectionError(
                f"{type(self).__name__} could not download its data to {self.root}: {error}. "
                "Put the data there by hand, or choose another data set."
            ) from error

    def build_datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """The two splits.

        Raises:
            FileNotFoundError: if the data set is not there, or not whole.
        """
        try:
            train, val = (self.open_split(train, download=False) for train in (True, False))
        except RuntimeError as error:
            raise FileNotFoundError(
                f"{type(self).__name__} finds no whole data set in {self.root}: set --data.download true, "
                "or --data.root to the folder that holds it."
            ) from error
        self.class_names = tuple(train.classes)
        return WithoutPath(train), WithoutPath(val)


class CIFAR10DataModule(TorchvisionDataModule):
    """CIFAR-10: 50,000 training and 10,000 test images of 32x32 in 10 classes.

    Example:
        >>> from jepa_lightning.data import CIFAR10DataModule
        >>> data = CIFAR10DataModule("data", batch_size=256)  # reads the folder, or downloads to it, in the training
    """

    def open_split(self, train: bool, download: bool) -> CIFAR10:
        """One split."""
        return CIFAR10(self.root, train=train, download=download)


class CIFAR100DataModule(TorchvisionDataModule):
    """CIFAR-100: 50,000 training and 10,000 test images of 32x32 in 100 classes.

    Example:
        >>> from jepa_lightning.data import CIFAR100DataModule
        >>> data = CIFAR100DataModule("data", batch_size=256)
    """

    def open_split(self, train: bool, download: bool) -> CIFAR100:
        """One split."""
        return CIFAR100(self.root, train=train, download=download)


class STL10DataModule(TorchvisionDataModule):
    """STL-10: 96x96, 5,000 labeled training images, 100,000 unlabeled ones, and 8,000 test images in 10 classes.

    Args:
        root: folder of the data set.
        unlabeled: train on the unlabeled images as well; their label is -1, so only the others reach the probes.
        options: of `TorchvisionDataModule`.

    Example:
        >>> from jepa_lightning.data import STL10DataModule
        >>> data = STL10DataModule("data", unlabeled=False)
    """

    def __init__(self, root: str | Path = "data", unlabeled: bool = True, **options: Any) -> None:
        super().__init__(root, **options)
        self.unlabeled = unlabeled

    def open_split(self, train: bool, download: bool) -> STL10:
        """One split, with the unlabeled images in training."""
        split = ("train+unlabeled" if self.unlabeled else "train") if train else "test"
        return STL10(str(self.root), split=split, download=download)

    @property
    def memory_set(self) -> Dataset[Any]:
        """The labeled training images; known after `setup`."""
        assert isinstance(self.train_set, WithoutPath)
        return Subset(self.train_set, [i for i, label in enumerate(self.train_set.source.labels) if label >= 0])
