"""Images per second of one core from JPEG files of 500 x 375 pixels: decoded whole, at a fraction, and by torchvision.

python examples/benchmarks/jpeg_decode.py

The ways take turns on each file and CPU time is measured, on one thread. "view" has the training view of I-JEPA at 224
px with crops from .3 behind the decoding. The last column is how many images a second 16 cores give, which is what the
loader limits a training to.
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
from step_time import write_folder
from torchvision.io import ImageReadMode, decode_jpeg, read_file

from jepa_lightning import IJEPA
from jepa_lightning.data.images.files import read_rgb

SIDES = (410, 224, 112)  # shorter sides that are left at least, of 375
CORES = 16


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
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5, help="times that each image is read in each way")
    options = parser.parse_args(args)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = IJEPA("vit_tiny", depth=1, predictor_depth=1)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder), options.images)
        paths = sorted(Path(folder).rglob("*.jpg"))
        found = milliseconds(ways(module.pipeline().transform), paths, options.rounds)
    print(f"{'':<32}{'ms':>8}{'over PIL':>10}{'images/s a core':>17}{f'on {CORES} cores':>13}")
    for name, time_of_one in found.items():
        whole = found["PIL, view" if name.endswith("view") else "PIL"]
        rate = 1e3 / time_of_one
        print(f"{name:<32}{time_of_one:>8.2f}{time_of_one / whole:>10.2f}{rate:>17.0f}{CORES * rate:>13.0f}")


if __name__ == "__main__":
    main()
