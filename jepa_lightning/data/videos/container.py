"""Opening video files with PyAV (extra ``video``): films alone, and nothing that a file names."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jepa_lightning.data.folder_listing import require_regular
from jepa_lightning.data.videos.video import UnreadableVideoError

# a list of films (concat, HLS, DASH) would be read as the films that it names, from anywhere on the disk
FORMATS = "mov,matroska,avi,gif,mpeg,mpegvideo,mpegts,ogg,asf,flv,ivf,mxf,nut,dv,m4v,h264,hevc,av1,obu,wtv,rm,apng,webp"


@contextmanager
def reading(file: Path | bytes) -> Iterator[Any]:
    """An open container whose errors are those of this file."""
    import av

    limits = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    try:
        if not isinstance(file, bytes):
            require_regular(file)
        with av.open(io.BytesIO(file) if isinstance(file, bytes) else f"file:{file}", options=limits) as container:
            # the workers of a DataLoader share the cores already
            film_of(container).codec_context.thread_count = 1
            yield container
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableVideoError(str(error)) from error


def film_of(container: Any) -> Any:
    """The video stream that ffmpeg would take: a still picture may come before it."""
    stream = container.streams.best("video")
    if stream is None:
        raise UnreadableVideoError("it has no video stream.")
    return stream
