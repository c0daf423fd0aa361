# C channels, T frames, H W height and width
"""Video files, of which only the frames that are asked for are decoded (PyAV, extra ``video``)."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class UnreadableVideoError(Exception):
    """A file that gives no frames, or not those that its index promises."""


class VideoIndex(NamedTuple):
    """Where the frames of a file are, read without decoding one.

    Attributes:
        pts: of each frame in the order they are shown, in units of the stream.
        keys: those of the key frames, from which decoding can start.
        unit: seconds.
    """

    pts: list[int]
    keys: list[int]
    unit: float


class VideoFile:
    """A video file, or a part of one.

    Frames are found by their times: exactly, whatever the frame rate does, from the nearest key frame before. A file
    that ends early has the frames that are there. Frames are turned upright.

    Args:
        path: the file.
        start: seconds from the first frame at which the part begins.
        end: seconds at which it ends; None is the end of the file.

    Raises:
        UnreadableVideoError: if it has no frames, or none between start and end.
        ImportError: if PyAV is not installed.
    """

    def __init__(self, path: str | Path, start: float = 0.0, end: float | None = None) -> None:
        self.path = Path(path)
        try:
            changed = os.stat(self.path).st_mtime_ns
        except OSError as error:
            raise UnreadableVideoError(error.strerror or str(error)) from error
        self._index = _read_index(str(self.path), changed)
        pts, _, unit = self._index
        seconds = [(p - pts[0]) * unit for p in pts]
        first = bisect_left(seconds, start - 1e-6)
        last = len(pts) if end is None else bisect_left(seconds, end - 1e-6)
        if first >= last:
            raise UnreadableVideoError(
                f"it has no frame between {start:g} s and {'its end' if end is None else f'{end:g} s'}: it is "
                f"{seconds[-1]:.3g} s long."
            )
        self._pts = pts[first:last]
        self.times: Sequence[float] = [second - seconds[first] for second in seconds[first:last]]

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
        import av

        wanted = [self._pts[i] for i in indices]
        targets = sorted(set(wanted))
        try:
            with av.open(str(self.path)) as container:
                found = dict(_decode(container, targets, self._index.keys))
            if len(found) < len(targets):  # a seek went too far
                with av.open(str(self.path)) as container:
                    found = dict(_decode(container, targets, self._index.keys[:1]))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise UnreadableVideoError(str(error)) from error
        if len(found) < len(targets):
            raise UnreadableVideoError(
                f"{len(targets) - len(found)} of its {self.num_frames} frames cannot be decoded."
            )
        return torch.from_numpy(np.stack([found[pts] for pts in wanted])).permute(0, 3, 1, 2)


@lru_cache(maxsize=4096)  # a few kilobytes each
def _read_index(path: str, changed: int) -> VideoIndex:
    """Finds the frames of a file; ``changed`` makes a file that was written anew another one."""
    try:
        import av
    except ImportError as error:
        raise ImportError("reading videos needs PyAV: pip install 'jepa_lightning[video]'.") from error
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise UnreadableVideoError("it has no video stream.")
            stream = container.streams.video[0]
            packets = [
                (packet.dts if packet.pts is None else packet.pts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
            unit = float(stream.time_base or 1)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableVideoError(str(error)) from error
    pts = sorted({time for time, _ in packets if time is not None})
    if not pts:
        raise UnreadableVideoError("it has no frames.")
    keys = sorted({time for time, key in packets if key and time is not None})
    return VideoIndex(pts, keys or pts[:1], unit)


def _decode(container: Any, targets: Sequence[int], keys: Sequence[int]) -> Iterator[tuple[int, Any]]:
    """The frames at the targets, rising times, each ``[H, W, 3]``; those that are not there are left out."""
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1  # the workers of a DataLoader share the cores already
    left, position, frames = list(targets), None, container.decode(stream)
    while left:
        key = keys[max(0, bisect_right(keys, left[0]) - 1)]
        if key != keys[0] if position is None else key > position:
            container.seek(key, stream=stream)
            frames = container.decode(stream)
        for frame in frames:
            if frame.pts is None:
                frame.pts = frame.dts
            position = frame.pts
            if position in left:
                left.remove(position)
                yield position, _upright(frame)
            if not left or position >= left[0]:
                break
        else:
            return
        left = [target for target in left if target > position]


def _upright(frame: Any) -> Any:
    pixels = frame.to_ndarray(format="rgb24")
    turns = round(frame.rotation / 90) % 4
    return np.rot90(pixels, turns) if turns else pixels
