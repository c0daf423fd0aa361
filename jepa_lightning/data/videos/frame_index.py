"""Where the frames of a video file are, found without decoding them."""

from array import array
from pathlib import Path
from typing import NamedTuple

from jepa_lightning.data.videos.container import film_of, reading
from jepa_lightning.data.videos.video import UnreadableVideoError

UNTIMED = ("mpeg", "mpegvideo")  # formats of PyAV whose packets are not frames


class VideoIndex(NamedTuple):
    """Where the frames of a file are.

    Attributes:
        pts: of each frame in the order they are shown, in units of the stream; or their numbers, where the file does
            not say when each one is shown.
        keys: those of the key frames, from which decoding can start.
        unit: seconds.
        timed: whether frames have times by which they are found. Those that have none are counted from the first one.
    """

    pts: "array[int]"  # 8 bytes each, a fifth of a list of them
    keys: "array[int]"
    unit: float
    timed: bool


def find_frames(file: Path | bytes) -> VideoIndex:
    """Reads the index of a file (its path, or its content), from the headers of all its packets.

    Raises:
        UnreadableVideoError: if it has no frames.
    """
    with reading(file) as container:
        stream = film_of(container)
        packets = [
            (packet.pts, packet.is_keyframe)
            for packet in container.demux(stream)
            if packet.size and not packet.is_discard and not packet.is_corrupt
        ]
        unit, rate = float(stream.time_base or 1), float(stream.average_rate or 25)
        # AVI makes up the times of frames that are shown in another order than they are stored
        untimed = container.format.name in (UNTIMED + (("avi",) if stream.codec_context.has_b_frames else ()))
    if not packets:
        raise UnreadableVideoError("it has no frames.")
    if untimed or any(pts is None for pts, _ in packets):
        with reading(file) as container:
            number = sum(1 for _ in container.decode(film_of(container)))
        return VideoIndex(array("q", range(number)), array("q", [0]), 1 / rate, timed=False)
    pts = array("q", sorted({time for time, _ in packets}))
    keys = array("q", sorted({time for time, key in packets if key}))
    return VideoIndex(pts, keys or pts[:1], unit, timed=True)
