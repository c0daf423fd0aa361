import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.nn import Predictor, RopeStyle, VisionTransformer
from jepa_lightning.nn.attention import (
    MAX_EXPLICIT_KEYS,
    SelfAttention,
    attend,
    attend_in_groups,
    explicit_attention,
)
from jepa_lightning.nn.attentive_pooler import AttentivePooler


def inputs(queries: int, keys: int, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(0)
    return [torch.randn(2, 3, length, 16).to(dtype).requires_grad_() for length in (queries, keys, keys)]


def gradients(out: Tensor, given: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out.float().square().sum(), given)


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 9), (16, 16), (49, 49), (7, 130)])
def test_the_explicit_form_is_the_fused_one(queries: int, keys: int) -> None:
    given = inputs(queries, keys, torch.float32)
    ours, torchs = explicit_attention(*given), F.scaled_dot_product_attention(*given)
    torch.testing.assert_close(ours, torchs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradients(ours, given), gradients(torchs, given), atol=1e-5, rtol=1e-5)


def test_in_bfloat16_it_is_right_to_two_units_in_the_last_place() -> None:
    given = inputs(49, 49, torch.bfloat16)
    exact = F.scaled_dot_product_attention(*(x.double() for x in given))
    torch.testing.assert_close(attend(*given).double(), exact, atol=2**-7, rtol=2**-7)


@pytest.mark.parametrize(
    ("dtype", "keys", "form"),
    [
        (torch.float32, 49, F.scaled_dot_product_attention),
        (torch.bfloat16, 49, explicit_attention),
        (torch.bfloat16, MAX_EXPLICIT_KEYS, explicit_attention),
        (torch.bfloat16, MAX_EXPLICIT_KEYS + 1, F.scaled_dot_product_attention),
    ],
)
def test_the_form_follows_from_precision_and_length(dtype: torch.dtype, keys: int, form) -> None:  # type: ignore[no-untyped-def]
    given = inputs(4, keys, dtype)
    other = {explicit_attention: F.scaled_dot_product_attention}.get(form, explicit_attention)
    assert torch.equal(attend(*given), form(*given))
    assert not torch.equal(attend(*given), other(*given))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("last", [False, True])
def test_groups_see_the_tokens_before_them_and_themselves(dtype: torch.dtype, last: bool) -> None:
    before, groups, size = 5, 3, 2
    q, k, v = (x.detach().requires_grad_() for x in inputs(before + groups * size, before + groups * size, dtype))
    found = attend_in_groups(q[:, :, before:] if last else q, k, v, groups, size)
    exact_q, exact_k, exact_v = exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    parts = [] if last else [F.scaled_dot_product_attention(*(x[:, :, :before] for x in exact))]
    for start in range(before, before + groups * size, size):
        seen = [*range(before), *range(start, start + size)]
        own = exact_q[:, :, start : start + size]
        parts.append(F.scaled_dot_product_attention(own, exact_k[:, :, seen], exact_v[:, :, seen]))
    slow = torch.cat(parts, dim=2)
    tolerance = 1e-5 if dtype == torch.float32 else 2**-6
    torch.testing.assert_close(found.double(), slow, atol=tolerance, rtol=tolerance)
    for ours, theirs in zip(gradients(found, [q, k, v]), torch.autograd.grad(slow.square().sum(), exact), strict=True):
        assert (ours.double() - theirs).norm() < tolerance * theirs.norm()


def test_autocast_takes_the_explicit_form() -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(48, 3), torch.randn(2, 9, 48)
    exact = attention(x)
    with torch.autocast("cpu", torch.bfloat16), torch.profiler.profile() as profile:
        mixed = attention(x)
    assert not any("scaled_dot_product" in event.key for event in profile.key_averages())
    torch.testing.assert_close(mixed.float(), exact, atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("rope", [None, "exact"])
def test_no_network_or_probe_calls_the_fused_one_in_bfloat16(
    rope: RopeStyle | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, predictor = VisionTransformer(16, 4, 48, 1, 3, rope=rope), Predictor((4, 4), 48, 24, 1, 1, rope=rope)
    pooler, kept = AttentivePooler(48, 1, 2, 3, generation=2), torch.arange(8).expand(2, -1)
    images, tokens, target = torch.randn(2, 3, 16, 16), torch.randn(2, 8, 48), torch.arange(8, 12).expand(2, 1, -1)

    def refuse(*_: Tensor) -> Tensor:
        raise AssertionError("fused attention")

    monkeypatch.setattr(F, "scaled_dot_product_attention", refuse)
    for network, given in ((encoder, (images, kept)), (predictor, (tokens, kept, target)), (pooler, (tokens,))):
        with pytest.raises(AssertionError, match="fused"):
            network(*given)
        with torch.autocast("cpu", torch.bfloat16):
            network(*given).float().sum().backward()
