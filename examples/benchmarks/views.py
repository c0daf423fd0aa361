"""Views a second and core of the two-view and multi-crop methods, against torchvision's own blur and jitter.

python examples/benchmarks/views.py
python examples/benchmarks/views.py --images 4 --repeats 1

Each image is a JPEG of 500 x 375 px that is decoded, cut into all views of the method and normalized, on one core. The
other column has the same pipeline with `v2.GaussianBlur`, a convolution with a two-dimensional kernel, and
`v2.ColorJitter` on tensors. Seconds are those of the processor, and both columns take turns.
"""

import argparse
import io
import statistics
import time
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from jepa_lightning import BYOL, DINO, IJEPA, JEPAModule, SimCLR
from jepa_lightning.data.augmentation import SeparateViews
from jepa_lightning.data.blur import SeparableGaussianBlur

METHODS = (IJEPA, SimCLR, BYOL, DINO)
SIZE = (500, 375)


def photographs(number: int) -> list[bytes]:
    """JPEG files, smooth enough to have the length of photographs."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(number):
        coarse = rng.integers(0, 256, (SIZE[1] // 6, SIZE[0] // 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(file := io.BytesIO(), "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def with_torchvision(step: Any) -> Any:
    """The same step with torchvision's blur and jitter."""
    if isinstance(step, SeparableGaussianBlur):
        return v2.GaussianBlur(step.kernel_size, sigma=step.sigma)
    if isinstance(step, v2.RandomApply):
        inner = [with_torchvision(each) for each in step.transforms]
        return v2.RandomApply([each for each in inner if not isinstance(each, (v2.ToPILImage, v2.ToImage))], step.p)
    if isinstance(step, v2.Compose):
        return v2.Compose([with_torchvision(each) for each in step.transforms])
    return step


def seconds(transform: Any, files: list[bytes]) -> float:
    """Of the processor, for all views of all files."""
    torch.manual_seed(0)
    began = time.process_time()
    for file in files:
        transform(Image.open(io.BytesIO(file)).convert("RGB"))
    return time.process_time() - began


def pipelines(method: type[JEPAModule]) -> tuple[Any, Any]:
    """The transform of a method, and the same with torchvision's steps, which reads the image for each view."""
    own = build(method).pipeline().transform
    if not isinstance(own, SeparateViews):
        return own, own
    return own, SeparateViews(tuple(with_torchvision(view) for view in own.transforms))


def build(method: type[JEPAModule]) -> JEPAModule:
    return method(image_size=224) if method is IJEPA else method()


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3, help="passes, whose median is printed")
    options = parser.parse_args(args)
    torch.set_num_threads(1)  # as in a worker of a DataLoader
    files = photographs(options.images)
    for method in METHODS:
        both = pipelines(method)
        number = len(both[0](Image.new("RGB", SIZE)))
        [seconds(views, files[:2]) for views in both]
        taken = [[seconds(views, files) for views in both] for _ in range(options.repeats)]
        here, there = (len(files) / statistics.median(column) for column in zip(*taken, strict=True))
        ratio = statistics.median(slow / fast for fast, slow in taken)
        print(
            f"{method.__name__}, {number} view(s): {here * number:.0f} views/s ({here:.1f} images/s), torchvision "
            f"{there * number:.0f} views/s ({there:.1f} images/s), ratio {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
