"""Folders of videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from jepa_lightning.data.file_walk import holds_files
from jepa_lightning.data.folder import FolderDataModule
from jepa_lightning.data.folder_listing import subfolders
from jepa_lightning.data.videos.files import VIDEO_EXTENSIONS, VideoFiles
from jepa_lightning.data.videos.frame_folder import FRAME_EXTENSIONS
from jepa_lightning.data.videos.frame_walk import find_clips
from jepa_lightning.options import PositiveFloat, check_options


class VideoFolderDataModule(FolderDataModule):
    """A folder of videos: ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*``, or videos without labels.

    With ``frames`` each video is a folder of image files: ``train/CLASS/CLIP/*`` and ``val/CLASS/CLIP/*``, or
    ``CLASS/CLIP/*``. The frames are in the natural order of their names (``frame2.jpg`` before ``frame10.jpg``), and
    the path of a sample is that of its folder.

    How folders are read is ``FolderDataModule``'s. Video files need the extra ``video``.

    Args:
        root: the folder.
        images: take image files too, each as a video that stands still.
        frames: read folders of image files, not video files.
        frames_fps: frames per second in these folders. Models that sample by time (``fps``) need it.
        options: of ``FilesDataModule``.

    Raises:
        ValueError: if ``images`` is given with ``frames``, or ``frames_fps`` without.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from jepa_lightning.data import VideoFolderDataModule
        >>> folder = tempfile.TemporaryDirectory()
        >>> for clip in range(4):
        ...     (Path(folder.name) / f"walk/{clip}").mkdir(parents=True)
        ...     for number in range(8):
        ...         Image.new("RGB", (64, 48)).save(Path(folder.name) / f"walk/{clip}/{number}.jpg")
        >>> data = VideoFolderDataModule(folder.name, frames=True, frames_fps=12.0, val_fraction=0.25)
        >>> data.setup()
        >>> data.train_set[0][0].num_frames
        8
    """

    extensions: Sequence[str] = VIDEO_EXTENSIONS
    files: ClassVar = VideoFiles

    def __init__(
        self,
        root: str | Path,
        images: bool = False,
        frames: bool = False,
        frames_fps: PositiveFloat | None = None,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        if images and frames:
            raise ValueError("images=True takes image files as videos, and frames=True as frames of them: give one.")
        if frames_fps is not None and not frames:
            raise ValueError(f"frames_fps={frames_fps:g} is for folders of frames: add frames=True.")
        super().__init__(root, **options)
        self.frames, self.frames_fps = frames, frames_fps
        self.extensions = (
            FRAME_EXTENSIONS if frames else (*VIDEO_EXTENSIONS, *FRAME_EXTENSIONS) if images else VIDEO_EXTENSIONS
        )

    def holds_samples(self, folder: Path) -> bool:
        """Whether there are videos in a folder itself, not only in folders of classes in it."""
        if not self.frames:
            return super().holds_samples(folder)
        return any(holds_files(clip, self.extensions, deep=False) for clip in subfolders(folder))

    def samples(self, folder: Path) -> list[Any]:
        """The videos below ``train``, ``val`` or the root, labeled by their folders."""
        if not self.frames:
            return super().samples(folder)
        return find_clips(self.root, folder, self.extensions, self.frames_fps)
