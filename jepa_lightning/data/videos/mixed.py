"""Videos and images in one training, batch by batch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.draws import DrawSampler, SampleDraw
from jepa_lightning.data.labels import stack_labels
from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.resumable_loader import ResumableDataLoader
from jepa_lightning.data.seeded_samples import SeededCollate, SeededViews
from jepa_lightning.data.videos.mixture import ImageDraws, MixedSampler, Mixing, Mixture
from jepa_lightning.options import NonNegativeInt, OpenShare, PositiveInt, check_options
from jepa_lightning.types import Batch, Labels


class MixedViews(Dataset[Any]):
    """Views of clips and of images: a sample for the draw of a clip, and a list of samples for draws of images.

    Args:
        clips: views of the clips.
        images: views of the images.
    """

    def __init__(self, clips: SeededViews, images: SeededViews) -> None:
        self.clips, self.images = clips, images

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.clips)

    def __getitem__(self, draw: SampleDraw | ImageDraws | int) -> Any:
        """As of ``SeededViews``; a plain number, as from the sampler of `overfit_batches`, is a clip."""
        if isinstance(draw, ImageDraws):
            return [self.images[each] for each in draw.draws]
        return self.clips[draw]


@dataclass(frozen=True)
class MixedCollate:
    """Makes a batch of clips, or one of images, which has the labels of clips with nothing in them.

    Attributes:
        clips: collates clips.
        images: collates images.
        labels: of a clip.
    """

    clips: SeededCollate
    images: SeededCollate
    labels: Any

    def __call__(self, samples: Sequence[Any]) -> Batch:
        """Samples of ``MixedViews``, all of one kind."""
        if not isinstance(samples[0], list):
            return self.clips(samples)
        batch = self.images([each for group in samples for each in group])
        # classes of images are others than those of clips; probes pass over what has no label, on all ranks alike
        return batch._replace(labels=_empty(stack_labels([self.labels] * len(batch.views[0]))))


def _empty(labels: Labels | None) -> Labels | None:
    """The same labels, all of them missing."""
    if isinstance(labels, Mapping):
        return {name: _missing(column) for name, column in labels.items()}
    return None if labels is None else _missing(labels)


def _missing(column: Tensor) -> Tensor:
    return torch.full_like(column, math.nan if column.is_floating_point() else -1)


class MixedDataModule(JEPADataModule):
    """Videos and images for one model, as V-JEPA 2.1 (arXiv 2603.14482) is trained, with ``VJEPA(images=True)``.

    A batch has clips alone, or images alone. An epoch has each clip once, and images in between. Validation, probes and
    ``predict`` see the videos. With ``Trainer(accumulate_grad_batches=2)`` a step has a batch of each, and its gradient
    is that of two ranks with ``mixing="ranks"``.

    Args:
        videos: data of the clips.
        images: data of the images.
        image_share: share of the batches, or with ``mixing="ranks"`` of the ranks, that are of images.
        images_per_clip: number of images in a batch of images for each clip in a batch of clips.
        mixing: ``steps``, in which batches of clips and of images take turns, the same on all ranks; or ``ranks``, as
            the reference: the last ranks have images in every step, so that the gradient of a step is of both. Then
            ``images_per_clip`` is 1, and strategies that shard weights and ``content`` of the module, which need the
            same work on all ranks, are refused.
        batch_size: clips per step and device.
        num_workers: processes that load and transform; 0 does it in the main process. Results do not depend on it.

    Raises:
        ValueError: if options do not fit each other, or have no effect in ``videos`` or ``images``.

    Example:
        >>> from jepa_lightning.data import MixedDataModule, PhysicsVideoDataModule, ShapesDataModule
        >>> data = MixedDataModule(PhysicsVideoDataModule(), ShapesDataModule(image_size=64), batch_size=16)
        >>> data.num_classes["direction"]  # of the videos
        8
    """

    def __init__(
        self,
        videos: JEPADataModule,
        images: JEPADataModule,
        image_share: OpenShare = 0.5,
        images_per_clip: PositiveInt = 1,
        mixing: Mixing = "steps",
        batch_size: PositiveInt = 64,
        num_workers: NonNegativeInt = 2,
    ) -> None:
        check_options(type(self), locals())
        for name, part in (("videos", videos), ("images", images)):
            _check_part(name, part)
        if mixing == "ranks" and images_per_clip > 1:
            raise ValueError(
                f"images_per_clip={images_per_clip} is for mixing='steps': with 'ranks' the batches of all ranks have "
                "one size, so set image_share."
            )
        if (videos.in_channels, videos.mean, videos.std) != (images.in_channels, images.mean, images.std):
            raise ValueError("videos and images must have the same in_channels, mean and std: set them alike.")
        super().__init__(batch_size, num_workers, None, videos.in_channels, videos.mean, videos.std)
        self.videos, self.images = videos, images
        self.image_share, self.images_per_clip, self.mixing = image_share, images_per_clip, mixing

    @property
    def num_classes(self) -> int | dict[str, int]:
        """Those of the videos."""
        return self.videos.num_classes

    @property
    def memory_set(self) -> Dataset[Any]:
        """That of the videos."""
        return self.videos.memory_set

    def prepare_data(self) -> None:
        """What both do on one process."""
        self.videos.prepare_data()
        self.images.prepare_data()

    def build_datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """The training and validation set of the videos.

        Raises:
            MisconfigurationException: if there is no image.
        """
        self.videos.setup()
        self.images.setup()
        if not self.images.num_samples:
            raise MisconfigurationException(f"{type(self.images).__name__} has no training image.")
        self.class_names = self.videos.class_names
        return self.videos.train_set, self.videos.val_set

    def _loader(self, source: Dataset[Any], train: bool = False) -> DataLoader[Any]:
        if not train:
            return super()._loader(source)
        mixture = self._mixture()
        of_clips, of_images, seed = self.pipeline, self._image_pipeline(), self._seed()
        clips = SeededViews(source, of_clips.transform)
        images = SeededViews(self.images.train_set, of_images.transform)
        collate = MixedCollate(
            SeededCollate(of_clips.collate, clips.stand_in, fill=True),
            SeededCollate(of_images.collate, images.stand_in, fill=True),
            _labels_of(source),
        )
        return ResumableDataLoader(
            MixedViews(clips, images),
            batch_size=self.batch_size,
            sampler=MixedSampler(clips, mixture, seed),
            collate_fn=collate,
            drop_last=True,
            generator=torch.Generator().manual_seed(seed),  # as in seeded_loader
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def _mixture(self) -> Mixture:
        """The epoch of this rank.

        Raises:
            MisconfigurationException: if the ranks cannot share the two out.
        """
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        strategy = self.trainer.strategy if self.trainer else None
        module: Any = self.trainer.lightning_module if self.trainer else None
        if self.mixing == "ranks" and isinstance(strategy, (FSDPStrategy, ModelParallelStrategy)):
            raise MisconfigurationException(
                f"mixing='ranks' gives ranks different work, and {type(strategy).__name__} shards weights, which all "
                "ranks gather at the same time: set mixing to steps (--data.mixing steps), or the strategy to ddp."
            )
        content: float = getattr(module, "content", 0.0)
        if self.mixing == "ranks" and content:
            raise MisconfigurationException(
                "mixing='ranks' gives ranks different work, and content of the module is a statistic over all ranks: "
                "set mixing to steps (--data.mixing steps), or content to 0."
            )
        return Mixture(
            self.num_samples, self.images.num_samples, self.image_share, self.mixing, self.batch_size,
            self.images_per_clip, rank, world,
        )  # fmt: skip

    def _image_pipeline(self) -> Pipeline:
        """How the module in training is shown images.

        Raises:
            MisconfigurationException: if it takes none beside clips.
        """
        module: Any = self.trainer.lightning_module if self.trainer else None
        if not hasattr(module, "image_pipeline"):
            raise MisconfigurationException(
                f"{type(self).__name__} has images and clips, and {type(module).__name__} does not take both: train "
                "VJEPA with images=True."
            )
        found: Pipeline = module.image_pipeline()
        return found


def _labels_of(clips: Dataset[Any]) -> Any:
    """The labels of the first clip that can be read."""
    for index in range(len(clips)):  # type: ignore[arg-type]
        if (sample := clips[index]) is not None:
            return sample[1] if isinstance(sample, tuple) and len(sample) > 1 else None
    return None


def _check_part(name: str, part: JEPADataModule) -> None:
    """Refuses options of a part that have no effect in a mixture.

    Raises:
        ValueError: with the option.
    """
    if part.sampler_class is not DrawSampler:
        raise ValueError(
            f"{name} is {type(part).__name__}, which is read in an order of its own: use a folder of files."
        )
    given = {"batch_size": part.batch_size, "num_workers": part.num_workers, "pipeline": part._pipeline}
    for option, value in given.items():
        if value != _default(type(part), option):
            raise ValueError(f"{option} of {name} has no effect in MixedDataModule: set it there, beside {name}.")


def _default(cls: type, option: str) -> Any:
    """The default of an option, from the class that declares it last."""
    parameters = (signature(vars(base)["__init__"]).parameters for base in cls.__mro__ if "__init__" in vars(base))
    found = (each[option].default for each in parameters if option in each)
    return next((default for default in found if default is not Parameter.empty), None)
