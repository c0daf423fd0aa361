"""Images and videos in shards, which `jepa-lightning pack` makes: from a folder or an object store."""

import io
from pathlib import Path
from typing import Any, ClassVar

from PIL.Image import Image

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.images.files import read_rgb
from jepa_lightning.data.media_files import MediaFiles
from jepa_lightning.data.shards.records import ShardRecord, Shards
from jepa_lightning.data.shards.sampler import ShardSampler
from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.files import CountedVideo
from jepa_lightning.data.videos.frame_folder import FRAME_EXTENSIONS
from jepa_lightning.options import PositiveFloat, PositiveInt, Share, check_options


class ShardedFiles(MediaFiles):
    """Files in shards.

    Args:
        shards: where they are.
        max_bad_share: greatest share of files that cannot be read.
        window: of ``ShardSampler``.
    """

    def __init__(self, shards: Shards, max_bad_share: float, window: int) -> None:
        super().__init__(shards.folder, shards, shards.shard_index.classes, max_bad_share)
        self.shards, self.window = shards, window

    def where(self, index: int | None = None) -> str:
        """The path of a file and the shard that it is in, or the place of all shards."""
        if index is None:
            return self.shards.shard_index.where
        return f"{self.files[index].path} in {self.shards.where(index)}"


class ShardedImages(ShardedFiles):
    """Images in shards."""

    kind = "images"

    def read(self, index: int, file: ShardRecord) -> Image:
        """The image in a record."""
        return read_rgb(io.BytesIO(file.data))


class ShardedVideos(ShardedFiles):
    """Videos in shards, whose frames are decoded when a transform asks for them; and images, which stand still."""

    kind = "videos"

    def read(self, index: int, file: ShardRecord) -> VideoFile | Image:
        """The video or the image in a record."""
        if file.path.lower().endswith(FRAME_EXTENSIONS):
            return read_rgb(io.BytesIO(file.data))
        return CountedVideo(self, index, file.data, file.start, file.end)


class StreamingDataModule(JEPADataModule):
    """Base of the data in shards.

    Args:
        root: what ``jepa-lightning pack`` wrote: a folder, or the address of one in an object store that litdata
            knows (``s3://``, ``gs://``, ``azure://``, ``r2://``, ``hf://``).
        window: by how many places a sample of an epoch may be moved. Shards come in a new order every epoch, and their
            files were put into them at random, so it need not be large.
        cache_dir: where shards of an object store are kept; None is ``~/.cache/jepa_lightning``.
        max_cache_gb: how much of them, for each split on each machine; None is no limit.
        storage_options: of the connection to an object store, for litdata.
        max_bad_share: greatest share of files that may be unreadable; fewer are left out, each with a warning.
        options: of `JEPADataModule`.

    Attributes:
        files: the data set of them.

    Raises:
        ValueError: if `window` is below 1.
    """

    files: ClassVar[type[ShardedFiles]]
    sampler_class: ClassVar = ShardSampler
    class_names: tuple[str, ...]

    def __init__(
        self,
        root: str | Path,
        window: PositiveInt = 4096,
        cache_dir: str | None = None,
        max_cache_gb: PositiveFloat | None = None,
        storage_options: dict[str, Any] | None = None,
        max_bad_share: Share = 0.05,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(**options)
        self.root = str(root)
        self.window = window
        self.max_bad_share = max_bad_share
        self.shard_options: dict[str, Any] = {
            "cache_dir": cache_dir,
            "max_cache_gb": max_cache_gb,
            "storage_options": storage_options,
        }

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 without labels; known after `setup`."""
        return len(self.class_names)

    def build_datasets(self) -> tuple[ShardedFiles, ShardedFiles]:
        """Finds the shards.

        Raises:
            MisconfigurationException: if litdata is not installed.
            FileNotFoundError: if there is no such folder, no index in it, or a shard is missing.
            ValueError: if the shards are not finished, not whole, or hold something else.
            RuntimeError: if an object store cannot be read.
        """
        train, val = (Shards(self.root, split, **self.shard_options) for split in ("train", "val"))
        if train.shard_index.kind != self.files.kind:
            raise ValueError(
                f"{self.root} holds {train.shard_index.kind}, and {type(self).__name__} reads {self.files.kind}: "
                "there is a StreamingImageDataModule and a StreamingVideoDataModule."
            )
        self.class_names = train.shard_index.classes
        train_set, val_set = (self.files(shards, self.max_bad_share, self.window) for shards in (train, val))
        return train_set, val_set


class StreamingImageDataModule(StreamingDataModule):
    """Images in shards. Options are those of ``StreamingDataModule``. Needs the extra ``streaming``.

    Example:
        >>> from jepa_lightning.data import StreamingImageDataModule
        >>> data = StreamingImageDataModule("s3://bucket/shards", max_cache_gb=100)  # read when the training starts
    """

    files: ClassVar = ShardedImages


class StreamingVideoDataModule(StreamingDataModule):
    """Videos in shards. Options are those of ``StreamingDataModule``. Needs the extras ``streaming`` and ``video``.

    Example:
        >>> from jepa_lightning.data import StreamingVideoDataModule
        >>> data = StreamingVideoDataModule("s3://bucket/shards", max_cache_gb=100)  # read when the training starts
    """

    files: ClassVar = ShardedVideos
