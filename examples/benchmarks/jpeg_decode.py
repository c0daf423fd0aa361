"""Images per second of one core from JPEG files: decoded whole, at a fraction of their size, and by torchvision.

python examples/benchmarks/jpeg_decode.py

The ways take turns on each file and CPU time is measured, on one thread. Files are scenes with grain, which makes them
as long as photographs. "view" has the training view of I-JEPA at 224 px with crops from .3 behind the decoding; a view
has all the pixels that it can show where 410 are left of the shorter side. The last column is what the loader limits a
training to on 16 cores.

Seed 0, commit cc23ce2, one thread of a busy CPU, CPU time over that of decoding whole by PIL: files of 500 x 375 pixels
are below 410 at half their size, and gain nothing from min_side 410 (.92 of the time, with the view .98); 180 has .77
(.80). Of 1,600 x 1,200 pixels 410 has .76 (.65), and 180 .66 (.56). torchvision has .98 (.81) and .77 (.69): a part of
what it saves is the conversion from PIL. With the view a core reads 303 images of 500 x 375 pixels a second, 16 cores
4,849; of 1,600 x 1,200 pixels 59 and 943, at min_side 410 91 and 1,451.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2.functional import resize, to_pil_image

from jepa_lightning import IJEPA
from jepa_lightning.data import ShapesDataset
from jepa_lightning.data.images.files import read_rgb

SIZES = ((375, 500), (1200, 1600))  # height and width
SIDES = (410, 180)  # shorter sides that are left at least
CORES = 16
GRAIN = 12.0  # of 255: files of 500 x 375 pixels have about 100 kB


def write_files(folder: Path, number: int, size: tuple[int, int]) -> list[Path]:
    """Scenes with grain."""
    scenes, paths = ShapesDataset(number, image_size=96), []
    for i in range(number):
        image = resize(scenes[i][0], list(size)).float()
        grainy = (image + GRAIN * torch.randn(image.shape)).clamp(0, 255).to(torch.uint8)
        paths.append(folder / f"{size[1]}_{i}.jpg")
        to_pil_image(grainy).save(paths[-1], quality=90)
    return paths


def ways(view: Callable[[Any], Any]) -> dict[str, Callable[[Path], Any]]:
    """Ways to read a file, and those with a view behind them."""
    read: dict[str, Callable[[Path], Any]] = {
        "PIL": lambda path: Image.open(path).convert("RGB"),
        "read_rgb": read_rgb,
        **{f"read_rgb, min_side {side}": lambda path, side=side: read_rgb(path, side) for side in SIDES},
        "torchvision": lambda path: decode_jpeg(read_file(str(path)), ImageReadMode.RGB),
    }
    return read | {f"{name}, view": lambda path, way=way: view(way(path)) for name, way in read.items()}


def milliseconds(found: dict[str, Callable[[Path], Any]], paths: list[Path], rounds: int) -> dict[str, float]:
    """Median CPU time of each way to read one image."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for path in paths[:1] + paths * rounds:  # the first reading of all is a warm-up
        for name, way in found.items():
            start = time.process_time()
            way(path)
            times[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(column[1:]) for name, column in times.items()}


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6, help="of each size")
    parser.add_argument("--rounds", type=int, default=5, help="times that each image is read in each way")
    options = parser.parse_args(args)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = IJEPA("vit_tiny", depth=1, predictor_depth=1)
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            paths = write_files(Path(folder), options.images, size)
            length = statistics.mean(path.stat().st_size for path in paths)
            found = milliseconds(ways(module.pipeline().transform), paths, options.rounds)
        head = f"{size[1]} x {size[0]}, {length / 1e3:.0f} kB"
        print(f"{head:<32}{'ms':>8}{'over PIL':>10}{'images/s a core':>17}{f'on {CORES} cores':>13}")
        for name, time_of_one in found.items():
            whole = found["PIL, view" if name.endswith("view") else "PIL"]
            rate = 1e3 / time_of_one
            print(f"{name:<32}{time_of_one:>8.2f}{time_of_one / whole:>10.2f}{rate:>17.0f}{CORES * rate:>13.0f}")


if __name__ == "__main__":
    main()
