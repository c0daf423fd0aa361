import math

import pytest
import torch
from torch import Tensor

from jepa_lightning.losses import InfoNCE, NTXent, info_nce_loss, nt_xent_loss


def two_views(batch: int = 5, width: int = 4, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch * 100 + width)
    a = 3 * torch.randn(batch, width, generator=generator)
    return a.to(dtype), (a + torch.randn(batch, width, generator=generator)).to(dtype)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()


def cross_entropy(scores: list[Tensor], positive: Tensor) -> Tensor:
    return -(positive.exp() / sum(score.exp() for score in scores)).log()


def slow_nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    views = [*a.double(), *b.double()]
    losses = []
    for i, view in enumerate(views):
        scores = [cosine(view, other) / temperature for other in views]
        others = [score for j, score in enumerate(scores) if j != i]
        losses.append(cross_entropy(others, scores[(i + len(a)) % len(views)]))
    return sum(losses) / len(losses)


def slow_info_nce(queries: Tensor, keys: Tensor, temperature: float, queue: Tensor | None = None) -> Tensor:
    losses = []
    for i, query in enumerate(queries.double()):
        own = cosine(query, keys[i].double()) / temperature
        scores = [own]
        for j, negative in enumerate((keys if queue is None else queue).double()):
            if queue is not None or j != i:
                scores.append(cosine(query, negative) / temperature)
        losses.append(cross_entropy(scores, own))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.5])
@pytest.mark.parametrize(("batch", "width"), [(2, 1), (2, 7), (3, 2), (8, 5)])
def test_both_equal_a_slow_loop_over_pairs(batch: int, width: int, temperature: float, dtype: torch.dtype) -> None:
    a, b = two_views(batch, width, dtype)
    queue = two_views(batch + 3, width, dtype)[0]
    for fast, slow in (
        (nt_xent_loss(a, b, temperature), slow_nt_xent(a, b, temperature)),
        (info_nce_loss(a, b, temperature), slow_info_nce(a, b, temperature)),
        (info_nce_loss(a, b, temperature, queue), slow_info_nce(a, b, temperature, queue)),
    ):
        assert fast.dtype == torch.float32
        assert fast.item() == pytest.approx(slow.item(), rel=1e-5, abs=1e-5)


def test_double_precision_is_lowered_and_half_raised_to_float32() -> None:
    a, b = two_views()
    for loss in (nt_xent_loss, info_nce_loss):
        assert loss(a.double(), b.double()) == loss(a, b)
        assert loss(a.bfloat16(), b.bfloat16()) == loss(a.bfloat16().float(), b.bfloat16().float())
        # eight bits of a cosine, over the temperature
        assert loss(a.bfloat16(), b.bfloat16(), 1.0).item() == pytest.approx(loss(a, b, 1.0).item(), abs=2**-7)


def test_autocast_does_not_coarsen_them() -> None:
    a, b = two_views()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = nt_xent_loss(a, b), info_nce_loss(a, b), info_nce_loss(a, b, queue=b.flip(0))
    assert inside == (nt_xent_loss(a, b), info_nce_loss(a, b), info_nce_loss(a, b, queue=b.flip(0)))


def test_lengths_do_not_count() -> None:
    a, b = two_views()
    lengths = torch.tensor([0.1, 1.0, 3.0, 10.0, 100.0])[:, None]
    for loss in (nt_xent_loss, info_nce_loss):
        torch.testing.assert_close(loss(a * lengths, b / lengths), loss(a, b))
    torch.testing.assert_close(info_nce_loss(a, b, queue=a * lengths), info_nce_loss(a, b, queue=a))


def test_nt_xent_is_symmetric_and_info_nce_is_not() -> None:
    a, b = two_views()
    torch.testing.assert_close(nt_xent_loss(a, b), nt_xent_loss(b, a))
    assert (info_nce_loss(a, b) - info_nce_loss(b, a)).abs() > 1e-4


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_one_negative_costs_what_the_difference_of_cosines_says(temperature: float) -> None:
    query, key, negative = torch.tensor([[2.0, 0.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[-0.8, 0.6]])
    expected = math.log(1 + math.exp((-0.8 - 0.6) / temperature))
    assert info_nce_loss(query, key, temperature, negative).item() == pytest.approx(expected, rel=1e-5, abs=1e-7)
    # the second query's key has cosine 1, and the first one's key 0.8
    queries, keys = torch.cat([query, torch.tensor([[0.0, 1.0]])]), torch.cat([key, torch.tensor([[0.0, 1.0]])])
    expected = [math.log(1 + math.exp((0.0 - 0.6) / temperature)), math.log(1 + math.exp((0.8 - 1.0) / temperature))]
    assert info_nce_loss(queries, keys, temperature).item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_collapsed_views_cost_the_logarithm_of_the_choices() -> None:
    collapsed = torch.ones(6, 3)
    assert nt_xent_loss(collapsed, collapsed).item() == pytest.approx(math.log(11), rel=1e-6)
    assert info_nce_loss(collapsed, collapsed).item() == pytest.approx(math.log(6), rel=1e-6)
    assert info_nce_loss(collapsed, collapsed, queue=torch.ones(9, 3)).item() == pytest.approx(math.log(10), rel=1e-6)


def test_a_queue_with_the_other_images_keys_equals_no_queue() -> None:
    queries, keys = two_views()
    each = []
    for i in range(len(queries)):
        others = torch.cat([keys[:i], keys[i + 1 :]])
        each.append(info_nce_loss(queries[i : i + 1], keys[i : i + 1], 0.2, others))
    torch.testing.assert_close(torch.stack(each).mean(), info_nce_loss(queries, keys, 0.2))


def test_gradients_of_nt_xent_reach_both_views_and_equal_the_slow_ones() -> None:
    views = [view.requires_grad_() for view in two_views()]
    fast = torch.autograd.grad(nt_xent_loss(*views, 0.2), views)
    slow = torch.autograd.grad(slow_nt_xent(*views, 0.2), views)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-6)
    assert all(gradient.abs().max() > 1e-3 for gradient in fast)


@pytest.mark.parametrize("queued", [False, True])
def test_keys_and_queue_get_no_gradient_and_queries_the_slow_one(queued: bool) -> None:
    queries, keys = (view.requires_grad_() for view in two_views())
    queue = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).requires_grad_() if queued else None
    info_nce_loss(queries, keys, 0.2, queue).backward()
    assert keys.grad is None
    assert queue is None or queue.grad is None
    (slow,) = torch.autograd.grad(slow_info_nce(queries, keys, 0.2, queue), queries)
    torch.testing.assert_close(queries.grad, slow, rtol=1e-4, atol=1e-6)


def test_modules_equal_the_functions() -> None:
    a, b = two_views()
    assert NTXent(0.3)(a, b) == nt_xent_loss(a, b, 0.3)
    assert NTXent()(a, b) == nt_xent_loss(a, b)
    assert InfoNCE(0.3)(a, b) == info_nce_loss(a, b, 0.3)
    assert InfoNCE()(a, b, a) == info_nce_loss(a, b, queue=a)


@pytest.mark.parametrize("loss", [nt_xent_loss, info_nce_loss])
def test_what_cannot_be_contrasted_is_named(loss) -> None:
    name = loss.__name__
    with pytest.raises(ValueError, match=rf"{name} .* needs at least 2 samples, got 1"):
        loss(torch.randn(1, 4), torch.randn(1, 4))
    for a, b in ((torch.randn(3, 4), torch.randn(2, 4)), (torch.randn(3, 4, 2), torch.randn(3, 4, 2))):
        with pytest.raises(ValueError, match=rf"{name} takes two tensors of one shape \[B, D\], got \(3, 4"):
            loss(a, b)
    for temperature in (0.0, -0.1):
        with pytest.raises(ValueError, match=rf"{name} needs a temperature above 0, got {temperature}"):
            loss(torch.randn(3, 4), torch.randn(3, 4), temperature)


def test_a_queue_of_another_width_is_named() -> None:
    for queue in (torch.randn(6, 5), torch.randn(4)):
        shape = str(tuple(queue.shape)).replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(ValueError, match=rf"a queue of shape {shape} does not fit keys of shape \(3, 4\)"):
            info_nce_loss(torch.randn(3, 4), torch.randn(3, 4), queue=queue)
