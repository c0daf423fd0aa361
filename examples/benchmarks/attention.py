"""Fused against explicit attention on this machine, forward and backward, over lengths and precisions.

python examples/benchmarks/attention.py

`nn.attention.attend` chooses by these ratios: above 1 the explicit form is the faster one.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.nn.attention import explicit_attention

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def seconds(attention: Attention, inputs: list[Tensor], backward: bool) -> float:
    """CPU time of one call, in seconds."""
    start = time.process_time()
    with torch.set_grad_enabled(backward):
        out = attention(*inputs)
    if backward:
        out.backward(torch.ones_like(out))
    return time.process_time() - start


def ratio(length: int, batch: int, heads: int, width: int, dtype: torch.dtype, backward: bool, repeats: int) -> float:
    """Time of fused over time of explicit attention, the median of alternating calls."""
    # as the linear layer before gives them: one tensor, cut and transposed
    qkv = torch.randn(batch, length, 3, heads, width, dtype=dtype).requires_grad_(backward)
    inputs = list(qkv.permute(2, 0, 3, 1, 4).unbind(0))
    ratios = []
    for repeat in range(repeats + 1):
        fused = seconds(F.scaled_dot_product_attention, inputs, backward)
        inputs = list(qkv.permute(2, 0, 3, 1, 4).unbind(0))
        explicit = seconds(explicit_attention, inputs, backward)
        inputs = list(qkv.permute(2, 0, 3, 1, 4).unbind(0))
        if repeat:  # the first call warms up
            ratios.append(fused / explicit)
    return statistics.median(ratios)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 32, 64, 128, 196, 256, 512, 1024, 2000])
    parser.add_argument("--tokens", type=int, default=8192, help="of a batch: batch size times length")
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--head-width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7, help="calls whose median is printed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("length  " + "  ".join(f"{name:>18}" for name in ("fp32 forward", "fp32 both", "bf16 forward", "bf16 both")))
    for length in options.lengths:
        batch = max(1, options.tokens // length)
        found = [
            ratio(length, batch, options.heads, options.head_width, dtype, backward, options.repeats)
            for dtype in (torch.float32, torch.bfloat16)
            for backward in (False, True)
        ]
        print(f"{length:>6}  " + "  ".join(f"{value:>18.2f}" for value in found), flush=True)


if __name__ == "__main__":
    main()
