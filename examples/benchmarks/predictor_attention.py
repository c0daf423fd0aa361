"""Time and FLOPs of a training step of IJEPA with the predictor's attention full and shared.

python examples/benchmarks/predictor_attention.py
python examples/benchmarks/predictor_attention.py --precision bf16

Steps take turns and CPU time is measured, on one thread, so that other processes count little. What is printed is the
share of the full attention's time, the median over pairs of steps, each on a batch with masks of its own.

Seed 0, commit d818a04, ViT-S/16, 160 px, batch 16, 4 blocks, one thread of a busy CPU, 5 pairs: .74 of the time in fp32
(.71 to .83) and .77 in bf16 (.72 to .84), at .75 of the FLOPs of forward and backward pass. The full attention has its
last block compute the targets alone, which takes .95 of the FLOPs of a step in which it computes all tokens (commit
924d4a9), so that shared attention has .71 of those.
"""

import argparse
import contextlib
import statistics
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from jepa_lightning import IJEPA
from jepa_lightning.types import Batch


def build(attention: str, options: argparse.Namespace) -> IJEPA:
    torch.manual_seed(0)
    return IJEPA(
        options.encoder, options.image_size, options.patch_size, num_targets=options.targets,
        predictor_depth=options.predictor_depth, predictor_attention=attention,
    )  # fmt: skip


def batch_of(module: IJEPA, size: int) -> Batch:
    """Noise with masks that are drawn anew."""
    pipeline = module.pipeline()
    return pipeline.collate([pipeline.eval_transform(torch.rand(3, *module.image_size)) for _ in range(size)])


def step(module: IJEPA, batch: Batch, bf16: bool) -> None:
    """Forward and backward pass; the optimizer has the same weights in both variants."""
    with torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext():
        loss = module.objective(batch, 0.0).loss
    loss.backward()


def seconds(module: IJEPA, batch: Batch, bf16: bool) -> float:
    start = time.process_time()
    step(module, batch, bf16)
    return time.process_time() - start


def flops(module: IJEPA, batch: Batch) -> int:
    with FlopCounterMode(display=False) as counter:
        step(module, batch, False)
    return counter.get_total_flops()


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="vit_small")
    parser.add_argument("--image-size", type=int, default=160)
    parser.add_argument("--patch-size", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--predictor-depth", type=int, default=6)
    parser.add_argument("--targets", type=int, default=4, help="blocks of an image")
    parser.add_argument("--steps", type=int, default=7, help="of each variant, after one that is not counted")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options = parser.parse_args(args)
    torch.set_num_threads(1)
    full, shared = (build(attention, options) for attention in ("full", "shared"))
    batches = [batch_of(full, options.batch_size) for _ in range(options.steps + 1)]
    ratios = [
        seconds(shared, batch, bf16) / seconds(full, batch, bf16)
        for bf16 in (options.precision == "bf16",)
        for batch in batches
    ][1:]
    counted = sum(flops(shared, batch) for batch in batches) / sum(flops(full, batch) for batch in batches)
    print(
        f"{options.encoder}/{options.patch_size}, {options.image_size} px, batch {options.batch_size}, "
        f"{options.targets} blocks, {options.precision}: shared over full, time {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}), FLOPs {counted:.2f}"
    )


if __name__ == "__main__":
    main()
