"""Images per second of the training loader out of shards, against the same images in a folder.

python examples/benchmarks/streaming.py
python examples/benchmarks/streaming.py --images 2000 --size 500 375 --workers 2

Needs the extra `streaming`. Images are made for the occasion. They come from memory, as they have just been written,
and once more from the disk, after the system was told to forget them.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from jepa_lightning.data import ImageFolderDataModule, JEPADataModule, StreamingImageDataModule, masked_image_pipeline
from jepa_lightning.data.shards.plan import plan_shards
from jepa_lightning.data.shards.writer import write_shards
from jepa_lightning.masking import MultiBlockMask


def make(folder: Path, number: int, size: tuple[int, int]) -> None:
    """Writes JPEG files in ten classes, smooth enough to have the length of photographs."""
    rng = np.random.default_rng(0)
    for i in range(number):
        path = folder / str(i % 10) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 256, (size[1] // 6, size[0] // 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def epoch(data: JEPADataModule) -> int:
    return sum(len(batch.views[0]) for batch in data.train_dataloader())


def read_files(data: JEPADataModule) -> int:
    """Reads what an epoch reads, in its order, and decodes nothing."""
    loader = data.train_dataloader()
    files = loader.dataset.source
    if isinstance(data, StreamingImageDataModule):
        return sum(len(files.files[draw.sample].data) > 0 for draw in loader.sampler)
    folder, places = files.dataset, files.indices
    return sum(len((folder.root / folder.files[places[draw.sample]].path).read_bytes()) > 0 for draw in loader.sampler)


def forget(folder: Path) -> None:
    """Tells the system to drop the files from its memory, where it can do that."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file() and hasattr(os, "posix_fadvise"):
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def rate(what: Callable[[JEPADataModule], int], build: Callable[[], JEPADataModule], cold: Path | None) -> float:
    data = build()  # anew, as what is mapped cannot be forgotten
    data.setup()
    if cold:
        forget(cold)
    began = time.perf_counter()
    return what(data) / (time.perf_counter() - began)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=7, help="measurements, whose median is printed")
    options = parser.parse_args(args)
    torch.set_num_threads(1)  # as in a worker of a DataLoader
    with tempfile.TemporaryDirectory() as root:
        folder, shards = Path(root, "images"), Path(root, "shards")
        make(folder, options.images, tuple(options.size))
        loading = {
            "batch_size": 32,
            "num_workers": options.workers,
            "pipeline": masked_image_pipeline((112, 112), MultiBlockMask((7, 7), min_keep=4)),
        }
        builds = partial(ImageFolderDataModule, folder, **loading), partial(StreamingImageDataModule, shards, **loading)
        write_shards(plan_shards(builds[0](), shard_mb=4), shards)
        for name, what, cold in (
            ("read and decoded, from memory", epoch, None),
            ("read and decoded, from the disk", epoch, Path(root)),
            ("read, from memory", read_files, None),
            ("read, from the disk", read_files, Path(root)),
        ):
            [rate(what, build, cold) for build in builds]
            # in turns, so that a busy machine slows both alike
            rates = [[rate(what, build, cold) for build in builds] for _ in range(options.repeats)]
            slow, fast = (statistics.median(column) for column in zip(*rates, strict=True))
            ratio = statistics.median(there / here for here, there in rates)
            print(f"{name}: shards {fast:,.0f} images/s, folder {slow:,.0f} images/s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
