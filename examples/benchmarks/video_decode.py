"""Clips per second of one core out of video files, with seeking to the key frame, against decoding from the start.

python examples/benchmarks/video_decode.py
python examples/benchmarks/video_decode.py --codecs libx264 --seconds 60 --size 320 240

Needs the extra `video`. Files are made for the occasion, with a key frame every two seconds.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from jepa_lightning.data import VideoFile

SUFFIXES = {"libx264": ".mp4", "libvpx-vp9": ".webm", "libsvtav1": ".mp4", "mpeg4": ".mp4"}
RATE, KEYS = 24, 48


def make(path: Path, codec: str, frames: int, size: tuple[int, int]) -> None:
    """Writes a film of noise that moves."""
    width, height = size
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8, 3)).astype(np.uint8)
    picture = noise.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, options={"g": str(KEYS)})
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, 3 * i, axis=1), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def from_the_start(path: Path, indices: Sequence[int]) -> np.ndarray:
    """The same frames without a seek, turned into RGB in the same way."""
    found, convert = {}, VideoReformatter()
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for i, frame in enumerate(container.decode(video=0)):
            if i in indices:
                found[i] = convert.reformat(frame, format="rgb24", threads=1).to_ndarray()
            if i == indices[-1]:
                break
    return np.stack([found[i] for i in indices])


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codecs", nargs="+", choices=list(SUFFIXES), default=list(SUFFIXES))
    parser.add_argument("--seconds", type=int, default=30, help="length of the files")
    parser.add_argument("--size", type=int, nargs=2, default=(320, 240), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--clips", type=int, default=20)
    options = parser.parse_args(args)
    av.logging.set_level(av.logging.PANIC)
    for codec in options.codecs:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"film{SUFFIXES[codec]}")
            make(path, codec, options.seconds * RATE, tuple(options.size))
            draw, times = random.Random(0), []
            for _ in range(options.clips):
                start = draw.randrange(options.seconds * RATE - 15 * 4)
                indices = range(start, start + 16 * 4, 4)[:16]  # 16 frames, 4 apart
                began = time.perf_counter()
                ours = VideoFile(path).read(indices)
                middle = time.perf_counter()
                theirs = from_the_start(path, indices)
                times.append((middle - began, time.perf_counter() - middle))
                assert np.array_equal(ours.permute(0, 2, 3, 1).numpy(), theirs)
        fast, slow = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{codec}, {options.seconds} s of {options.size[0]}x{options.size[1]}: {1 / fast:.1f} clips/s, "
            f"from the start {1 / slow:.1f} clips/s, ratio {slow / fast:.1f}"
        )


if __name__ == "__main__":
    main()
