"""The indices of the video files that were read last."""

import os
import sys
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from jepa_lightning.data.videos.frame_index import VideoIndex, find_frames
from jepa_lightning.data.videos.video import UnreadableVideoError

MAX_BYTES = 64 * 2**20  # of each process: 75 hours at 30 frames per second, or some 80 000 clips of four seconds


class IndexCache:
    """Indices of video files, bounded by the memory that they take; those not used for longest are dropped.

    A file that was written again is another one.

    Args:
        max_bytes: of all indices together; a larger one is read each time.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._indices: OrderedDict[tuple[str, int], VideoIndex] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def of(self, path: Path) -> VideoIndex:
        """The index of a file.

        Raises:
            UnreadableVideoError: if the file is missing, or has no frames.
        """
        try:
            key = str(path), os.stat(path).st_mtime_ns
        except (OSError, ValueError) as error:  # a NUL in the name
            raise UnreadableVideoError(getattr(error, "strerror", None) or str(error)) from error
        with self._lock:
            if key in self._indices:
                self._indices.move_to_end(key)
                return self._indices[key]
        index = find_frames(path)
        with self._lock:
            self._keep(key, index)
        return index

    def clear(self) -> None:
        """Drops all indices."""
        with self._lock:
            self._indices.clear()
            self._bytes = 0

    def _keep(self, key: tuple[str, int], index: VideoIndex) -> None:
        size = _bytes_of(key, index)
        if size > self.max_bytes or key in self._indices:  # another thread was faster
            return
        while self._bytes + size > self.max_bytes:
            self._bytes -= _bytes_of(*self._indices.popitem(last=False))
        self._indices[key] = index
        self._bytes += size


def _bytes_of(key: tuple[str, int], index: VideoIndex) -> int:
    """Memory of an entry, with about 200 bytes for its place in the dictionary."""
    return 200 + sum(map(sys.getsizeof, (key, *key, index, *index)))


INDICES = IndexCache()
