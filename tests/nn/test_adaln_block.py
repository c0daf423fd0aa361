import math

import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.nn.adaln_block import AdaLNBlock, frame_mask


def test_frames_see_themselves_and_those_before_within_the_window() -> None:
    mask = frame_mask(4, 2, 3, torch.device("cpu"))
    for row in range(8):
        for column in range(8):
            assert mask[row, column] == (0 <= row // 2 - column // 2 < 3)


def test_starts_as_the_identity() -> None:
    block, x = AdaLNBlock(6, heads=2, head_width=4, hidden=5), torch.randn(2, 3, 4, 6)
    assert torch.equal(block(x, torch.randn(2, 3, 1, 6), None), x)


def slow(block: AdaLNBlock, x: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
    """Token by token, head by head."""
    numbers = F.linear(F.silu(condition), block.modulation.weight, block.modulation.bias)  # [B, T, 1, 6 D]
    shift1, scale1, gate1, shift2, scale2, gate2 = numbers.chunk(6, dim=-1)
    batch, frames, tokens, width = x.shape

    def normed(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        return (x - mean) / (variance + 1e-6).sqrt() * (1 + scale) + shift

    attention = block.attn
    inner = normed(x, scale1, shift1).reshape(batch, frames * tokens, width) @ attention.qkv.weight.T
    q, k, v = inner.chunk(3, dim=-1)
    size, found = q.shape[-1] // attention.heads, torch.zeros_like(q)
    for head in range(attention.heads):
        part = slice(head * size, (head + 1) * size)
        for row in range(frames * tokens):
            seen = [column for column in range(frames * tokens) if mask[row, column]]
            scores = (k[:, seen, part] @ q[:, row, part, None]).squeeze(-1) / math.sqrt(size)
            found[:, row, part] = (scores.softmax(-1)[..., None] * v[:, seen, part]).sum(1)
    x = x + gate1 * attention.proj(found).view_as(x)
    return x + gate2 * block.mlp.fc2(F.gelu(block.mlp.fc1(normed(x, scale2, shift2))))


def test_equals_a_slow_version_with_heads_wider_than_the_tokens() -> None:
    block = AdaLNBlock(6, heads=2, head_width=5, hidden=7).double()
    torch.nn.init.normal_(block.modulation.weight, std=0.3)
    torch.nn.init.normal_(block.modulation.bias, std=0.3)
    x, condition = torch.randn(2, 3, 2, 6).double(), torch.randn(2, 3, 1, 6).double()
    mask = frame_mask(3, 2, 2, x.device)
    torch.testing.assert_close(block(x, condition, mask), slow(block, x, condition, mask))
