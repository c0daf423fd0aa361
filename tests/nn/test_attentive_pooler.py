import math

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from jepa_lightning.nn.attentive_pooler import AttentivePooler

WIDTH = 12


def norm(x, layer):
    centered = x - x.mean(-1, keepdim=True)
    return centered / (centered.square().mean(-1, keepdim=True) + 1e-5).sqrt() * layer.weight + layer.bias


def mlp(x, layer):
    hidden = linear(x, layer.fc1.weight, layer.fc1.bias)
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    return linear(hidden, layer.fc2.weight, layer.fc2.bias)


def attention(q, k, v, heads):
    """One query and one head at a time."""
    size = WIDTH // heads
    found = torch.zeros_like(q)
    for row, query in enumerate(q):
        for part in (slice(start, start + size) for start in range(0, WIDTH, size)):
            scores = torch.stack([(query[part] * key[part]).sum() / math.sqrt(size) for key in k]).exp()
            found[row, part] = sum(score * value[part] for score, value in zip(scores / scores.sum(), v, strict=True))
    return found


def self_attention(x, block, heads):
    q, k, v = linear(norm(x, block.norm1), block.attn.qkv.weight, block.attn.qkv.bias).chunk(3, dim=-1)
    x = x + linear(attention(q, k, v, heads), block.attn.proj.weight, block.attn.proj.bias)
    return x + mlp(norm(x, block.norm2), block.mlp)


def cross_attention(queries, tokens, pooler, heads):
    q = linear(queries, pooler.xattn.q.weight, pooler.xattn.q.bias)  # no norm on the queries
    k, v = linear(norm(tokens, pooler.norm1), pooler.xattn.kv.weight, pooler.xattn.kv.bias).chunk(2, dim=-1)
    queries = queries + attention(q, k, v, heads)  # no projection of what it finds
    return queries + mlp(norm(queries, pooler.norm2), pooler.mlp)


def slow_pooler(pooler, tokens, heads, generation):
    """Of one sample, ``[N, D]`` to ``[L, D]``."""
    if generation == 1:
        queries = cross_attention(pooler.query_tokens[0], tokens, pooler, heads)
        for block in pooler.blocks:
            queries = self_attention(queries, block, heads)
        return queries
    for block in pooler.blocks:
        tokens = self_attention(tokens, block, heads)
    return cross_attention(pooler.query_tokens[0], tokens, pooler, heads)


def drawn(queries, depth, heads, generation):
    """A pooler with every parameter far from where it starts."""
    torch.manual_seed(0)
    pooler = AttentivePooler(WIDTH, queries, depth, heads, generation).double()
    for parameter in pooler.parameters():
        nn.init.normal_(parameter, std=0.5)
    return pooler


@pytest.mark.parametrize("generation", [1, 2])
@pytest.mark.parametrize(("queries", "depth", "heads"), [(1, 1, 1), (3, 1, 4), (2, 3, 2)])
def test_it_equals_a_slow_pooler(queries, depth, heads, generation):
    pooler = drawn(queries, depth, heads, generation)
    # tokens so small that eps matters
    tokens = 0.005 * torch.randn(2, 5, WIDTH, dtype=torch.float64)
    found = pooler(tokens)
    assert found.shape == (2, queries, WIDTH)
    for sample, expected in zip(found, (slow_pooler(pooler, each, heads, generation) for each in tokens), strict=True):
        torch.testing.assert_close(sample, expected)


@pytest.mark.parametrize(("depth", "alike"), [(1, True), (2, False)])
def test_generations_differ_in_the_order_of_blocks_alone(depth, alike):
    first, second = (drawn(1, depth, 2, generation) for generation in (1, 2))
    second.load_state_dict(first.state_dict())
    tokens = torch.randn(2, 5, WIDTH, dtype=torch.float64)
    assert torch.equal(first(tokens), second(tokens)) is alike


@pytest.mark.parametrize("depth", [1, 4])
def test_names_and_sizes_are_those_of_the_reference(depth):
    pooler = AttentivePooler(WIDTH, 1, depth, 2, 2)
    cross = ["norm1", "norm2", "xattn.q", "xattn.kv", "mlp.fc1", "mlp.fc2"]
    layers = ["norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"]
    names = cross + [f"blocks.{block}.{layer}" for block in range(depth - 1) for layer in layers]
    expected = {"query_tokens", *(f"{name}.{kind}" for name in names for kind in ("weight", "bias"))}
    assert {name for name, _ in pooler.named_parameters()} == expected
    assert pooler.xattn.kv.weight.shape == (2 * WIDTH, WIDTH)
    # query and cross-attention without a projection, then 12 D^2 + 13 D for each ordinary block
    size = 11 * WIDTH**2 + 13 * WIDTH + (depth - 1) * (12 * WIDTH**2 + 13 * WIDTH)
    assert sum(parameter.numel() for parameter in pooler.parameters()) == size
