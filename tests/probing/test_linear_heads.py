# B batch, D width, C classes
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from jepa_lightning.probing.heads import ProbeHeads
from jepa_lightning.probing.linear_heads import LinearHeads

DEVICE = torch.device("cpu")


def test_heads_start_at_zero_and_draw_no_random_number() -> None:
    state = torch.get_rng_state()
    heads = LinearHeads(6, [3, 2], DEVICE)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(not parameter.any() for parameter in heads.parameters())
    ((first, second),) = heads(torch.randn(5, 6))
    assert first.shape == (5, 3)
    assert second.shape == (5, 2)


def test_the_scale_and_shift_of_features_make_no_difference() -> None:
    torch.manual_seed(0)
    heads, features = LinearHeads(6, [3], DEVICE), torch.randn(64, 6)
    nn.init.normal_(heads.heads[0].weight)  # type: ignore[arg-type]
    plain, scaled = heads(features)[0][0], heads(features * 37 + 5)[0][0]
    torch.testing.assert_close(plain, scaled, rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_the_mean_over_each_labels_samples() -> None:
    torch.manual_seed(0)
    heads, features = LinearHeads(6, [3, 3], DEVICE), torch.randn(8, 6)
    target = torch.randint(0, 3, (8,))
    (outputs,) = heads(features)
    losses = [F.cross_entropy(each, target, reduction="sum") for each in outputs]
    torch.stack(losses).sum().backward()
    heads.average_gradients(torch.tensor([8, 0]))  # the second has no labeled sample: nothing is divided by 0
    mean = F.cross_entropy(heads.heads[0](heads.norm.eval()(features)), target)
    assert mean.isfinite()
    first, second = (head.weight.grad for head in heads.heads)
    expected = nn.Linear(6, 3)
    nn.init.zeros_(expected.weight)
    nn.init.zeros_(expected.bias)
    normed = (features - features.mean(0)) / features.var(0, unbiased=False).sqrt()
    F.cross_entropy(expected(normed), target).backward()
    torch.testing.assert_close(first, expected.weight.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(second, 8 * expected.weight.grad, rtol=1e-4, atol=1e-5)


def test_ranks_share_the_statistics_of_the_norm() -> None:
    heads = LinearHeads(4, [2], DEVICE)
    heads(torch.randn(16, 4) + 3)
    mean, variance = heads.statistics()
    assert mean is heads.norm.running_mean
    assert variance is heads.norm.running_var
    assert mean.min() > 0


def test_the_base_has_no_statistics_and_no_classifier() -> None:
    heads = ProbeHeads()
    assert heads.statistics() == ()
    with pytest.raises(NotImplementedError):
        heads(torch.zeros(1, 2))
    with pytest.raises(NotImplementedError):
        heads.average_gradients(torch.ones(1))
