# E episodes, T frames, H W height and width
"""Windows per second of trajectories out of an HDF5 file, as `jepa-lightning collect` writes it.

python examples/benchmarks/trajectories.py
python examples/benchmarks/trajectories.py --side 224 --frames 4 --frame_skip 5 --workers 2

Needs the extra `worlds`. Episodes are made for the occasion, of smooth frames, and windows are read in random order: by
the data set alone, and by the training loader with the pipeline of a world model. All comes from the memory of the
system, as the file has just been written.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from jepa_lightning.data import TrajectoryDataModule
from jepa_lightning.data.trajectories.writer import EpisodeParts
from jepa_lightning.data.videos.action_clips import action_pipeline


def write(path: Path, episodes: int, length: int, side: int) -> None:
    """Episodes of a smooth picture that moves by each action."""
    generator = np.random.default_rng(0)
    parts = EpisodeParts(path, {})
    for episode in range(episodes):
        coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
        actions = generator.integers(-3, 4, (length, 2))
        places = actions.cumsum(axis=0)
        pixels = np.stack([np.roll(picture, place, axis=(0, 1)) for place in places])
        parts.write(episode, {"pixels": pixels, "action": actions.astype(np.float32), "state": places.astype(float)})
    parts.join(episodes)


def alone(data: TrajectoryDataModule, windows: int) -> int:
    dataset = data.build_datasets()[0]
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:windows].tolist()
    return sum(len(dataset[index].media) > 0 for index in order)


def loaded(data: TrajectoryDataModule, windows: int) -> int:
    read = 0
    for batch in data.train_dataloader():
        read += len(batch.views[0])
        if read >= windows:
            break
    return read


def rate(what: Callable[[TrajectoryDataModule, int], int], build: Callable[[], TrajectoryDataModule], n: int) -> float:
    data = build()
    data.setup()
    began = time.perf_counter()
    return what(data, n) / (time.perf_counter() - began)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--length", type=int, default=100, help="frames of an episode")
    parser.add_argument("--side", type=int, default=96, help="height and width of a frame, in pixels")
    parser.add_argument("--frames", type=int, default=4, help="of a window")
    parser.add_argument("--frame_skip", type=int, default=1)
    parser.add_argument("--windows", type=int, default=1000, help="that are read")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3, help="measurements, whose median is printed")
    options = parser.parse_args(args)
    torch.set_num_threads(1)  # as in a worker of a DataLoader
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "episodes.h5")
        write(path, options.episodes, options.length, options.side)
        size = (options.side, options.side)
        pipeline = action_pipeline(size, options.frames, 2 * options.frame_skip, (0.5,) * 3, (0.25,) * 3)
        build = partial(
            TrajectoryDataModule,
            path,
            num_frames=options.frames,
            frame_skip=options.frame_skip,
            batch_size=options.batch_size,
            num_workers=options.workers,
            pipeline=pipeline,
        )
        frame = path.stat().st_size / options.episodes / options.length
        print(f"{options.frames} frames of {options.side} px, {frame / 1000:.1f} kB each in the file")
        for name, what in (("data set", alone), (f"loader, {options.workers} workers", loaded)):
            rates = [rate(what, build, options.windows) for _ in range(options.repeats)]
            print(f"{name}: {statistics.median(rates):,.0f} windows/s")


if __name__ == "__main__":
    main()
