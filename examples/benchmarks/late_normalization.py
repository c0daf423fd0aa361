"""CPU time and bytes of training views that are normalized on the device, over those of views that a worker normalizes.

python examples/benchmarks/late_normalization.py

Both take turns on one thread, from decoded images of 500 x 375 and clips of 320 x 240 pixels, with the same random
draws. Seed 0, commit 42f53af, a busy CPU: a view of I-JEPA takes 1.06 of the time and SimCLR's two .97, which is as
long; a clip of 16 frames of V-JEPA .39. All have a quarter of the bytes.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from jepa_lightning import IJEPA, VJEPA, JEPAModule, SimCLR

SMALL = {"encoder": "vit_tiny", "depth": 1}
IMAGE, CLIP = (3, 375, 500), (16, 3, 240, 320)
CASES: dict[str, tuple[type[JEPAModule], dict[str, Any], tuple[int, ...]]] = {
    "IJEPA, 224 px": (IJEPA, {**SMALL, "predictor_depth": 1}, IMAGE),
    "SimCLR, 224 px": (SimCLR, SMALL, IMAGE),
    "VJEPA, 16 frames, 224 px": (VJEPA, {**SMALL, "predictor_depth": 1, "frame_step": 1}, CLIP),
}


def measured(transform: Callable[[Any], list[Tensor]], media: Tensor, seed: int) -> tuple[float, int]:
    """Seconds of the processor, and bytes of all views."""
    torch.manual_seed(seed)
    start = time.process_time()
    views = transform(media)
    return time.process_time() - start, sum(view.nbytes for view in views)


def compare(name: str, repeats: int) -> tuple[float, float]:
    """Time and bytes of late normalization over those of early one."""
    cls, options, shape = CASES[name]
    early, late = (cls(**options, normalize_on_device=late).pipeline().transform for late in (False, True))
    media = torch.randint(0, 256, shape, dtype=torch.uint8)
    pairs = [(measured(late, media, seed), measured(early, media, seed)) for seed in range(repeats + 1)]
    return statistics.median(a[0] / b[0] for a, b in pairs[1:]), pairs[0][0][1] / pairs[0][1][1]


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20, help="pairs of views, whose median is printed")
    options = parser.parse_args(args)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name in CASES:
        seconds, size = compare(name, options.repeats)
        print(f"{name}: time {seconds:.2f}, bytes {size:.2f}")


if __name__ == "__main__":
    main()
