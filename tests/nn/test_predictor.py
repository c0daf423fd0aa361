import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F

from jepa_lightning.nn import Predictor


def tiny(**options: object) -> Predictor:
    torch.manual_seed(0)
    return Predictor(**{"grid_size": (4, 4), "encoder_width": 32, "width": 24, "depth": 2, "heads": 3, **options})


def indices(batch: int, *shape: int) -> torch.Tensor:
    return torch.stack([torch.randperm(16)[: shape[-1]] for _ in range(batch * shape[0])]).view(batch, *shape)


def test_batched_blocks_equal_a_loop_over_blocks_and_images() -> None:
    model = tiny().eval()
    context, where = torch.randn(3, 5, 32), indices(3, 1, 5)[:, 0]
    targets = indices(3, 4, 6)
    together = model(context, where, targets)
    assert together.shape == (3, 4, 6, 32)
    for image in range(3):
        for block in range(4):
            known = model.predictor_embed(context[image]) + model.predictor_pos_embed[0, where[image]]
            wanted = model.mask_token[0] + model.predictor_pos_embed[0, targets[image, block]]
            row = torch.cat([known, wanted])[None]
            for layer in model.predictor_blocks:
                row = layer(row)
            alone = model.predictor_proj(model.predictor_norm(row))[0, 5:]
            torch.testing.assert_close(together[image, block], alone, atol=1e-5, rtol=1e-5)


def test_blocks_do_not_see_each_other() -> None:
    model = tiny().eval()
    context, where, targets = torch.randn(2, 5, 32), indices(2, 1, 5)[:, 0], indices(2, 3, 4)
    before = model(context, where, targets)
    targets[:, 1] = indices(2, 1, 4)[:, 0]
    after = model(context, where, targets)
    torch.testing.assert_close(before[:, [0, 2]], after[:, [0, 2]])
    assert not torch.allclose(before[:, 1], after[:, 1])


def test_parameters_are_named_and_ordered_as_in_the_reference() -> None:
    names = [name.split(".")[0] for name in tiny().state_dict()]
    order = [
        "mask_token",
        "predictor_pos_embed",
        "predictor_embed",
        "predictor_blocks",
        "predictor_norm",
        "predictor_proj",
    ]
    assert list(dict.fromkeys(names)) == order
    assert tiny().mask_token.shape == (1, 1, 24)


@pytest.mark.parametrize(
    ("width", "depth", "heads", "encoder", "millions"),
    [(384, 12, 16, 1280, 22.3), (384, 12, 16, 1024, 22.1), (384, 16, 16, 1408, 29.5), (384, 6, 12, 768, 11.2)],
)
def test_published_number_of_parameters(width: int, depth: int, heads: int, encoder: int, millions: float) -> None:
    with torch.device("meta"):
        model = Predictor((14, 14), encoder, width, depth, heads)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)


def test_checkpointing_changes_no_gradient() -> None:
    context, where, targets = torch.randn(2, 5, 32), indices(2, 1, 5)[:, 0], indices(2, 3, 4)
    grads = []
    for saving in (False, True):
        model = tiny(gradient_checkpointing=saving)
        model(context, where, targets).square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="predictor width 25 is not a multiple of its heads 3"):
        tiny(width=25)


@pytest.mark.parametrize("rope", [None, "exact"])
def test_each_kind_of_mask_has_its_own_token(rope: str | None) -> None:
    predictor = Predictor((2, 4, 4), 48, 24, 1, 2, num_mask_tokens=2, rope=rope).eval()  # type: ignore[arg-type]
    context, places = torch.randn(2, 5, 48), torch.arange(10).expand(2, -1)
    first, second = (predictor(context, places[:, :5], places[:, None, 5:], mask_index=i) for i in range(2))
    assert torch.equal(first, second)  # all start at 0
    torch.nn.init.ones_(predictor.mask_tokens[1])
    again, moved = (predictor(context, places[:, :5], places[:, None, 5:], mask_index=i) for i in range(2))
    assert torch.equal(first, again)
    assert not torch.allclose(second, moved)


def test_rotary_blocks_equal_a_loop_over_blocks_too() -> None:
    predictor = Predictor((2, 4, 4), 48, 24, 2, 2, num_mask_tokens=1, rope="exact").eval()
    context, keep = torch.randn(2, 5, 48), torch.rand(2, 32).argsort(dim=1)
    targets = keep[:, 5:11].reshape(2, 2, 3)
    together = predictor(context, keep[:, :5], targets)
    for i in range(2):
        alone = predictor(context, keep[:, :5], targets[:, i : i + 1])
        torch.testing.assert_close(together[:, i : i + 1], alone)


def visible(known: int, blocks: int, size: int) -> Tensor:
    """Which of the tokens (columns) each token sees (rows): context sees context, a block sees context and itself."""
    owner = torch.tensor([-1] * known + [block for block in range(blocks) for _ in range(size)])
    return (owner[None] == -1) | (owner[None] == owner[:, None])


def slow_shared(model: Predictor, context: Tensor, where: Tensor, targets: Tensor) -> Tensor:
    """All tokens of a sample in one sequence, with an attention that is masked pair by pair, from the weights alone."""
    places = torch.cat([where, targets.flatten(1)], dim=1)
    known = F.linear(context, model.predictor_embed.weight, model.predictor_embed.bias)
    mask_token = model.mask_token if model.single else model.mask_tokens[0]
    x = torch.cat([known, mask_token.expand(len(context), targets[0].numel(), -1)], dim=1)
    if model.rope is None:
        x = x + model.predictor_pos_embed[0, places]
    allowed = visible(where.shape[1], *targets.shape[1:])
    for block in model.predictor_blocks:
        query, key, value = block.attn.qkv(block.norm1(x)).chunk(3, dim=-1)
        heads = []
        for q, k, v in zip(*(part.chunk(block.attn.heads, -1) for part in (query, key, value)), strict=True):
            if model.rope is not None:
                q, k = turn(q, model.rope_table[:, places]), turn(k, model.rope_table[:, places])
            scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
            heads.append(scores.masked_fill(~allowed, -torch.inf).softmax(dim=-1) @ v)
        x = x + block.attn.proj(torch.cat(heads, dim=-1))
        x = x + block.mlp(block.norm2(x))
    predicted = model.predictor_proj(model.predictor_norm(x[:, where.shape[1] :]))
    return predicted.view(*targets.shape, -1)


def turn(x: Tensor, table: Tensor) -> Tensor:
    """Rotates pairs of channels by complex multiplication; the channels at the end are left alone."""
    cos, sin = table
    number = cos.shape[-1]
    pairs = torch.view_as_complex(x[..., :number].unflatten(-1, (-1, 2)).contiguous())
    turned = torch.view_as_real(pairs * torch.complex(cos[..., ::2], sin[..., ::2])).flatten(-2)
    return torch.cat([turned, x[..., number:]], dim=-1)


@pytest.mark.parametrize("options", [{}, {"rope": "exact", "width": 32, "heads": 2}, {"gradient_checkpointing": True}])
def test_shared_attention_is_a_masked_one_over_all_tokens(options: dict[str, object]) -> None:
    model = tiny(attention="shared", depth=3, **options).double()
    context, where, targets = torch.randn(2, 5, 32).double(), indices(2, 1, 5)[:, 0], indices(2, 3, 4)
    ours, slow = model(context, where, targets), slow_shared(model, context, where, targets)
    torch.testing.assert_close(ours, slow, atol=1e-10, rtol=1e-10)
    gradients = [
        torch.autograd.grad(out.square().sum(), [*model.parameters()], allow_unused=True) for out in (ours, slow)
    ]
    torch.testing.assert_close(*gradients, atol=1e-10, rtol=1e-8)


def test_shared_context_is_computed_once_and_sees_no_mask_token() -> None:
    model, seen = tiny(attention="shared", depth=3).eval(), []
    for block in model.predictor_blocks:
        block.register_forward_hook(lambda _, inputs, output: seen.append(output.detach()))
    context, where, targets = torch.randn(2, 5, 32), indices(2, 1, 5)[:, 0], indices(2, 4, 6)
    before = model(context, where, targets)
    # 5 tokens of context and 4 blocks of 6, where the full attention has 4 rows of 5 + 6; the last block has no context
    assert [tuple(x.shape) for x in seen] == [(2, 29, 24), (2, 29, 24), (2, 24, 24)]
    torch.nn.init.normal_(model.mask_token, 3.0, 1.0)
    after = model(context, where, targets)
    for old, new in zip(seen[:2], seen[3:5], strict=True):
        assert torch.equal(old[:, :5], new[:, :5])
        assert not torch.allclose(old[:, 5:], new[:, 5:])
    assert not torch.allclose(before, after)


def test_full_attention_computes_the_targets_alone_in_its_last_block() -> None:
    model, seen = tiny(depth=2), []
    for block in model.predictor_blocks:
        block.register_forward_hook(lambda _, inputs, output: seen.append(tuple(output.shape)))
    model(torch.randn(2, 5, 32), indices(2, 1, 5)[:, 0], indices(2, 4, 6))
    assert seen == [(8, 11, 24), (8, 6, 24)]


def test_both_kinds_of_attention_have_the_same_parameters_and_one_block_of_depth_1_the_same_function() -> None:
    full, shared = tiny(depth=1), tiny(depth=1, attention="shared")
    shared.load_state_dict(full.state_dict())
    given = torch.randn(2, 5, 32), indices(2, 1, 5)[:, 0], indices(2, 4, 6)
    torch.testing.assert_close(full(*given), shared(*given))  # the context that a first block sees is the same
    deep, other = tiny(depth=2), tiny(depth=2, attention="shared")
    other.load_state_dict(deep.state_dict())
    assert not torch.allclose(deep(*given), other(*given))


def test_there_are_two_kinds_of_attention() -> None:
    with pytest.raises(ValueError, match="no predictor_attention 'some': choose full or shared"):
        tiny(attention="some")


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["full", "shared"])
def test_compiled_blocks_have_a_graph_for_all_lengths_and_one_for_the_last_block(attention: str) -> None:
    torch.compiler.reset()
    counter, model = CompileCounter(), tiny(attention=attention, depth=4)
    for block in model.predictor_blocks:
        block.compile(backend=counter)
    graphs = []
    for known, size in ((5, 3), (6, 4), (7, 2), (4, 5)):
        context, where = torch.randn(2, known, 32), indices(2, 1, known)[:, 0]
        model(context, where, indices(2, 4, size)).sum().backward()
        graphs.append(counter.frame_count)
    assert graphs == [2, 4, 4, 4]  # of the first lengths, then of any
