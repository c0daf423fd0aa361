# T frames, H W height and width
"""Writes procedural clips as a folder of video files, sorted by direction of motion, for trying out training on videos.

python examples/write_physics_videos.py films
jepa-lightning fit --config configs/vjepa/quickstart.yaml --data VideoFolderDataModule --data.root films

Films are H.264, MPEG-4 and VP9 in turn, each in the container that it mostly comes in. Backgrounds are textured, as in
that quickstart, and the scenes are not its own unless the seed is 0. Needs the extra `video`. On two cores 16,384 films
take about a minute.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import av
import torch
from torch import Tensor

from jepa_lightning.data.procedural.physics import PhysicsVideoDataset
from jepa_lightning.data.procedural.physics_world import DIRECTIONS
from jepa_lightning.data.procedural.shapes import VAL_OFFSET

FORMATS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("libx264", ".mp4", {"crf": "20"}),
    ("mpeg4", ".avi", {"qscale": "3"}),
    ("libvpx-vp9", ".webm", {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8"}),
)
RATE = 12


def encode(frames: Tensor, path: Path, codec: str, options: dict[str, str]) -> None:
    """Writes frames uint8 ``[T, 3, H, W]`` to a file."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width = frames.shape[2:]
        stream.pix_fmt = "yuv420p"
        for frame in frames.permute(0, 2, 3, 1).numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write(films: PhysicsVideoDataset, folder: Path, index: int) -> None:
    """Writes one film into the folder of its class."""
    frames, labels, _ = films[index]
    codec, suffix, options = FORMATS[index % len(FORMATS)]
    encode(frames, folder / DIRECTIONS[labels["direction"]] / f"{index:06d}{suffix}", codec, options)


def _settle() -> None:
    torch.set_num_threads(1)  # processes share the cores already
    av.logging.set_level(av.logging.PANIC)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a new folder for the videos")
    parser.add_argument("--num_train", type=int, default=16384, help="videos to train on; default: %(default)s")
    parser.add_argument("--num_val", type=int, default=512, help="videos to validate on; default: %(default)s")
    parser.add_argument("--num_frames", type=int, default=8, help="frames of a video; default: %(default)s")
    parser.add_argument("--image_size", type=int, default=64, help="side of a frame in pixels; default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the scenes; default: %(default)s")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count(), help="that write at the same time; default: %(default)s"
    )
    options = parser.parse_args(args)
    if options.folder.exists() and any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty: give a new folder, so that no film is replaced.")
    shape = (options.num_frames, options.image_size, options.seed)
    with ProcessPoolExecutor(options.processes, initializer=_settle) as pool:
        for part, size, offset in (("train", options.num_train, 0), ("val", options.num_val, VAL_OFFSET)):
            for direction in DIRECTIONS:
                (options.folder / part / direction).mkdir(parents=True, exist_ok=True)
            films = PhysicsVideoDataset(size, *shape, offset=offset, textured=True)
            for _ in pool.map(partial(write, films, options.folder / part), range(size), chunksize=64):
                pass
            print(f"{size} films in {options.folder / part}")


if __name__ == "__main__":
    main()
