"""Videos in files as a data set."""

from typing import Any

from PIL.Image import Image
from torch import Tensor

from jepa_lightning.data.images.files import read_rgb
from jepa_lightning.data.media_files import MediaFiles
from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.frame_folder import FRAME_EXTENSIONS, FrameFolder
from jepa_lightning.data.videos.frame_walk import FrameClip
from jepa_lightning.data.videos.video import UnreadableVideoError

VIDEO_EXTENSIONS = (
    ".mp4",
    ".webm",
    ".mkv",
    ".avi",
    ".mov",
    ".gif",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ogv",
    ".wmv",
    ".flv",
    ".3gp",
)


class VideoFiles(MediaFiles):
    """Videos whose frames are decoded when a transform asks for them: from files, or from folders of frames.

    Image files are videos that stand still.
    """

    kind = "videos"

    def read(self, index: int, file: Any) -> VideoFile | FrameFolder | Image:
        """The video or the image of a file."""
        path = self.root / file.path
        if isinstance(file, FrameClip):
            return CountedFrames(self, index, path, file.fps)
        if path.suffix.lower() in FRAME_EXTENSIONS:
            return read_rgb(path)
        return CountedVideo(self, index, path, getattr(file, "start", 0.0), getattr(file, "end", None))


class _Counted:
    """A video whose data set learns of frames that cannot be decoded.

    Args:
        files: the data set.
        index: its place there.
        options: of the video.
    """

    def __init__(self, files: MediaFiles, index: int, *options: Any) -> None:
        super().__init__(*options)
        self._files, self._place = files, index

    def read(self, indices: Any) -> Tensor:
        """Decodes frames, and tells the data set where that fails."""
        try:
            frames: Tensor = super().read(indices)  # type: ignore[misc]
        except UnreadableVideoError as error:
            self._files.report(self._place, error)
            raise
        return frames


class CountedVideo(_Counted, VideoFile):
    """A video file."""


class CountedFrames(_Counted, FrameFolder):
    """A folder of frames."""
