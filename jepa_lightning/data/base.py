"""The shared base of all DataModules: a data set, shown the way the module in training asks for."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from jepa_lightning.data.channels import check_statistics
from jepa_lightning.data.draws import DrawSampler
from jepa_lightning.data.loading import seeded_loader
from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.resumable_loader import ResumableDataLoader
from jepa_lightning.options import FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt, check_options


class JEPADataModule(LightningDataModule, ABC):
    """A data set for training without labels and for probing with them.

    Subclasses say what the samples are, in `build_datasets`; this class loads them, seeded and resumable, through the
    pipeline of the module in training, so that views, masks and encoder always agree.

    Args:
        batch_size: samples per step and device.
        num_workers: processes that load and transform; 0 does it in the main process. Results do not depend on it.
        pipeline: shows the data in another way than the module asks for.
        in_channels: channels of the samples, which the module must have too; None leaves that open.
        mean: of each channel, on values of 0 to 1, for a module that was given none.
        std: of each channel, which comes with ``mean``.

    Attributes:
        sampler_class: gives the order of the samples.
        class_names: of the labels 0, 1, ..., or of each of several labels by name; known after `setup`, None where
            there are no names.

    Example:
        >>> import torch
        >>> from torch.utils.data import TensorDataset
        >>> from jepa_lightning.data import JEPADataModule
        >>> class Noise(JEPADataModule):
        ...     num_classes = 2
        ...     def build_datasets(self):
        ...         images = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8)
        ...         samples = [(image, number % 2, f"{number}") for number, image in enumerate(images)]
        ...         return samples[:8], samples[8:]
        >>> data = Noise(batch_size=4, num_workers=0)
        >>> data.setup()
        >>> data.num_samples
        8
    """

    class_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None

    sampler_class: ClassVar[type[DrawSampler]] = DrawSampler

    def __init__(
        self,
        batch_size: PositiveInt = 64,
        num_workers: NonNegativeInt = 2,
        pipeline: Pipeline | None = None,
        in_channels: PositiveInt | None = None,
        mean: Sequence[FiniteFloat] | None = None,
        std: Sequence[PositiveFloat] | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__()
        self.in_channels, self.mean, self.std = in_channels, mean, std
        self._check_statistics(pipeline)
        self.batch_size = batch_size
        self.num_workers = num_workers
        self._pipeline = pipeline
        self._restored: dict[str, Any] = {}
        self._train_loader: DataLoader[Any] | None = None
        self.train_set: Dataset[Any]
        self.val_set: Dataset[Any]

    @property
    @abstractmethod
    def num_classes(self) -> int | dict[str, int]:
        """Number of classes, or of each label by name; known after `setup`."""

    @abstractmethod
    def build_datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """Training and validation set.

        Each sample is (PIL image or uint8 ``[C, H, W]``, labels, path), or None where the image cannot be read. Labels
        are what `jepa_lightning.data.labels.stack_labels` takes; the path is a string or None.
        """

    @property
    def num_samples(self) -> int:
        """Number of training samples; known after `setup`."""
        return len(self.train_set)  # type: ignore[arg-type]

    @property
    def memory_set(self) -> Dataset[Any]:
        """Training samples that classifiers compare with; known after `setup`."""
        return self.train_set

    @property
    def pipeline(self) -> Pipeline:
        """How samples are shown: the user's pipeline, or that of the module in training."""
        if self._pipeline is not None:
            return self._pipeline
        module = self.trainer.lightning_module if self.trainer else None
        pipeline = getattr(module, "pipeline", None)
        if pipeline is None:
            fault = f"{type(module).__name__} has no pipeline()" if self.trainer else "there is no Trainer yet"
            raise MisconfigurationException(
                f"{type(self).__name__} takes its views from the module in training, and {fault}: "
                "train a JEPAModule, or give the DataModule a pipeline=."
            )
        self._agree(module)
        asked: Pipeline = pipeline()
        return asked

    def setup(self, stage: str | None = None) -> None:
        """Builds the data sets, once."""
        if not hasattr(self, "train_set"):
            self.train_set, self.val_set = self.build_datasets()

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled training views; a batch that is not full is dropped.

        Raises:
            MisconfigurationException: if there is not even one full batch.
        """
        world_size = self.trainer.world_size if self.trainer else 1
        if self.num_samples < self.batch_size * world_size:
            raise MisconfigurationException(
                f"{type(self).__name__} has {self.num_samples} training samples, fewer than one batch of "
                f"{self.batch_size} on each of {world_size} device(s): lower --data.batch_size."
            )
        self._train_loader = self._loader(self.train_set, train=True)
        # Lightning restores a loader only if nobody asked for the length of the run before, and schedules do ask
        if isinstance(self._train_loader, ResumableDataLoader) and "loader" in self._restored:
            self._train_loader.load_state_dict(self._restored["loader"])
        return self._train_loader

    def val_dataloader(self) -> DataLoader[Any]:
        """Validation samples in the deterministic view, with the same masks every time."""
        return self._loader(self.val_set)

    def test_dataloader(self) -> DataLoader[Any]:
        """The validation samples."""
        return self.val_dataloader()

    def memory_dataloader(self) -> DataLoader[Any]:
        """Training samples in the deterministic view, for classifiers that compare with them."""
        return self._loader(self.memory_set)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Every sample, training set first, in the deterministic view."""
        return self._loader(ConcatDataset([self.train_set, self.val_set]))

    def state_dict(self) -> dict[str, Any]:
        """The seed of the run and its place in the epoch, so that a resumed run sees what it would have seen."""
        state: dict[str, Any] = {"seed": self._seed()}
        if isinstance(self._train_loader, ResumableDataLoader):
            state["loader"] = self._train_loader.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resumes with that seed from that place."""
        self._restored = state_dict
        # FSDP restores when the schedule has asked for the loader already
        if isinstance(loader := self._train_loader, ResumableDataLoader) and "loader" in state_dict:
            if isinstance(loader.sampler, DrawSampler):
                loader.sampler.seed = self._seed()
            loader.load_state_dict(state_dict["loader"])

    def _check_statistics(self, pipeline: Pipeline | None) -> None:
        """Refuses statistics of which a part is missing, or that nothing would use."""
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std of the data come together: give both, or neither.")
        if self.mean is None or self.std is None:
            return
        if pipeline is not None:
            raise ValueError(
                "mean and std are for the pipeline of the module, and a pipeline was given: leave them out."
            )
        check_statistics(self.mean, self.std)
        if self.in_channels not in (None, len(self.mean)):
            raise ValueError(
                f"in_channels is {self.in_channels}, and mean and std have {len(self.mean)} numbers: give one for each "
                "channel."
            )
        self.in_channels = len(self.mean)

    def _agree(self, module: Any) -> None:
        """Refuses a module with other channels or statistics, and gives it the data's statistics if it has none.

        Raises:
            MisconfigurationException: with the option on each side.
        """
        name, data = type(module).__name__, type(self).__name__
        channels = getattr(module, "in_channels", None)
        if None not in (channels, self.in_channels) and channels != self.in_channels:
            raise MisconfigurationException(
                f"{data} has in_channels={self.in_channels}, and {name} has in_channels={channels}: set in_channels of "
                "both to the channels of the samples (--data.in_channels, --model.in_channels)."
            )
        if self.mean is None or self.std is None:
            return
        if not hasattr(module, "take_statistics"):
            raise MisconfigurationException(f"{name} takes no mean and std from {data}: set them in its pipeline().")
        own = (*module.mean, *module.std)
        if not module.has_own_statistics:
            module.take_statistics(self.mean, self.std)
        elif own != (*self.mean, *self.std):
            raise MisconfigurationException(
                f"{data} has mean={list(self.mean)} and std={list(self.std)}, and {name} has mean={list(module.mean)} "
                f"and std={list(module.std)}: leave out one pair (--data.mean, --data.std, --model.mean, --model.std)."
            )

    def _seed(self) -> int:
        seed: int = self._restored.get("seed", torch.initial_seed())
        return seed

    def _loader(self, source: Dataset[Any], train: bool = False) -> DataLoader[Any]:
        return seeded_loader(
            source,
            self.pipeline,
            train=train,
            shuffle=train,
            seed=self._seed(),
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
            sampler_class=self.sampler_class,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            # workers of the other loaders are few and short-lived
            persistent_workers=train and self.num_workers > 0,
            # page-locked copies only help where a copy to an accelerator follows
            pin_memory=torch.cuda.is_available(),
        )
