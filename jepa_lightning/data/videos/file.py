# C channels, T frames, H W height and width
"""Video files, of which only the frames that are asked for are decoded (PyAV, extra ``video``)."""

import importlib.util
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jepa_lightning.data.videos.container import film_of, reading
from jepa_lightning.data.videos.frame_index import VideoIndex, find_frames
from jepa_lightning.data.videos.index_cache import INDICES
from jepa_lightning.data.videos.video import UnreadableVideoError


class VideoFile:
    """A video file, or a part of one.

    Frames are found by their times: exactly, whatever the frame rate does, from the nearest key frame before. Formats
    without times (MPEG program streams, some AVI) are decoded from the start. A file that ends early has the frames
    that are there. Frames are turned upright.

    Args:
        source: path of the file, or its content.
        start: seconds from the first frame at which the part begins.
        end: seconds at which it ends; None is the end of the file.

    Raises:
        UnreadableVideoError: if it has no frames, or none between start and end.
        ImportError: if PyAV is not installed.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import av, numpy
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name) / "film.mp4"
        >>> with av.open(str(path), "w") as container:
        ...     stream = container.add_stream("mpeg4", rate=10)
        ...     stream.width, stream.height = 64, 48
        ...     for number in range(30):
        ...         frame = numpy.full((48, 64, 3), 8 * number, numpy.uint8)
        ...         container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        ...     container.mux(stream.encode())
        >>> from jepa_lightning.data import VideoFile
        >>> video = VideoFile(path, start=1.0)
        >>> video.num_frames, video.read([0, 19]).shape
        (20, torch.Size([2, 3, 48, 64]))
    """

    def __init__(self, source: str | Path | bytes, start: float = 0.0, end: float | None = None) -> None:
        if importlib.util.find_spec("av") is None:
            raise ImportError("reading videos needs PyAV: pip install 'jepa_lightning[video]'.")
        self.path = None if isinstance(source, bytes) else Path(source)
        self._file = source if isinstance(source, bytes) else Path(source)
        self._index = find_frames(source) if isinstance(source, bytes) else INDICES.of(Path(source))
        pts, _, unit, _ = self._index

        def seconds(time: int) -> float:
            return (time - pts[0]) * unit

        first = bisect_left(pts, start - 1e-6, key=seconds)
        last = len(pts) if end is None else bisect_left(pts, end - 1e-6, key=seconds)
        if first >= last:
            raise UnreadableVideoError(
                f"it has no frame between {start:g} s and {'its end' if end is None else f'{end:g} s'}: it is "
                f"{seconds(pts[-1]):.3g} s long."
            )
        self._pts = pts[first:last]
        self.times: Sequence[float] = [(time - pts[first]) * unit for time in self._pts]

    @property
    def num_frames(self) -> int:
        """How many there are."""
        return len(self._pts)

    @property
    def fps(self) -> float | None:
        """Frames per second, on average; None for a single frame."""
        return (self.num_frames - 1) / self.times[-1] if self.num_frames > 1 else None

    def read(self, indices: Sequence[int]) -> Tensor:
        """Decodes frames.

        Args:
            indices: in any order, perhaps repeated.

        Returns:
            uint8 ``[T, 3, H, W]``.

        Raises:
            UnreadableVideoError: if one of them cannot be decoded.
        """
        wanted = [self._pts[i] for i in indices]
        targets = sorted(set(wanted))
        found = self._decode(targets, self._index)
        if len(found) < len(targets) and self._index.timed:  # a seek went too far
            found = self._decode(targets, self._index._replace(keys=self._index.keys[:1]))
        if len(found) < len(targets):
            raise UnreadableVideoError(f"{len(targets) - len(found)} of {len(targets)} frames cannot be decoded.")
        if len({frame.shape for frame in found.values()}) > 1:
            raise UnreadableVideoError("its frames change their size.")
        return torch.from_numpy(np.stack([found[pts] for pts in wanted])).permute(0, 3, 1, 2)

    def _decode(self, targets: Sequence[int], index: VideoIndex) -> dict[int, Any]:
        """Those of the frames at the targets that are there, each ``[H, W, 3]``."""
        from av.video.reformatter import VideoReformatter

        # one for all frames and without threads, which take longer to start than a small frame to convert
        convert = partial(VideoReformatter().reformat, format="rgb24", threads=1)
        with reading(self._file) as container:
            frames = _seek(container, targets, index) if index.timed else _count(container, targets)
            return {place: _upright(convert(frame).to_ndarray(), frame) for place, frame in frames}


def _seek(container: Any, targets: Sequence[int], index: VideoIndex) -> Iterator[tuple[int, Any]]:
    """The frames at the targets, rising times; those that are not there are left out."""
    stream, keys = film_of(container), index.keys
    left, position, frames = list(targets), None, container.decode(stream)
    while left:
        key = keys[max(0, bisect_right(keys, left[0]) - 1)]
        if key != keys[0] if position is None else key > position:
            container.seek(key, stream=stream)
            frames = container.decode(stream)
        for frame in frames:
            position = frame.pts
            if position is not None and position >= left[0]:
                break
        else:
            return
        # those between a seek and its target may well lack the frames that they rest on
        if position == left[0] and not frame.is_corrupt:
            yield position, frame
        left = [target for target in left if target > position]


def _count(container: Any, targets: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """The frames of these numbers."""
    wanted = set(targets)
    for number, frame in enumerate(container.decode(film_of(container))):
        if number in wanted:
            yield number, frame
        if number == targets[-1]:
            return


def _upright(pixels: Any, frame: Any) -> Any:
    """The pixels ``[H, W, 3]`` as players show them: turned and mirrored.

    Source: ISO 14496-12, 6.2.2. A point (p, q), q downwards, is shown at (a p + c q, b p + d q).
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return pixels
    a, b, _, c, d = np.frombuffer(matrix, dtype=np.int32)[:5].astype(np.int64)
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
