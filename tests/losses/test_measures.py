import numpy as np
import pytest
import torch

from jepa_lightning.losses import content_share, effective_rank, feature_std, mean_cosine, rankme, ranks
from jepa_lightning.losses.measures import deviation


def features() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(20, 6) @ torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5, 0.1, 0.01])) + 1


def entropy_rank(values, eps=0.0):
    share = [value / sum(values) + eps for value in values]
    return np.exp(-sum(p * np.log(p) for p in share))


def test_rankme_equals_the_definition_through_the_gram_matrix():
    x = features().double().numpy()
    singular = np.sqrt(np.linalg.eigvalsh(x.T @ x))
    assert rankme(features()).item() == pytest.approx(entropy_rank(singular, eps=1e-7), rel=1e-4)


def test_effective_rank_equals_the_definition_through_the_covariance_matrix():
    eigenvalues = np.linalg.eigvalsh(np.cov(features().double().numpy(), rowvar=False))
    assert effective_rank(features()).item() == pytest.approx(entropy_rank(eigenvalues), rel=1e-4)


@pytest.mark.parametrize(("samples", "width"), [(20, 6), (6, 20), (64, 64), (512, 192)])
def test_ranks_by_one_decomposition_equal_the_singular_values_of_each_matrix(samples, width):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(samples, width, generator=generator) * torch.logspace(0, -6, width) + 3
    singular = np.linalg.svd(x.double().numpy(), compute_uv=False)
    centered = np.linalg.svd((x - x.double().mean(dim=0)).numpy(), compute_uv=False)
    expected = entropy_rank(singular, eps=1e-7), entropy_rank(centered[centered > 1e-10] ** 2)
    assert [value.item() for value in ranks(x)] == pytest.approx(expected, rel=1e-5)
    assert ranks(x) == (rankme(x), effective_rank(x))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_ranks_of_features_that_are_not_finite_are_not_a_number(value):
    x = features()
    x[3, 2] = value
    assert rankme(x).isnan()
    assert effective_rank(x).isnan()
    assert all(each.isnan() for each in ranks(x))


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_ranks_count_equal_directions(rank):
    basis, _ = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))
    # plus and minus each direction, so that the mean is 0 and both measures see the same
    x = torch.cat([basis[:rank], -basis[:rank]])
    assert rankme(x).item() == pytest.approx(rank, abs=1e-3)
    assert effective_rank(x).item() == pytest.approx(rank, abs=1e-3)


def test_a_common_offset_lowers_rankme_alone_and_scale_changes_neither():
    x = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    assert rankme(x + 100) < rankme(x) / 2
    assert effective_rank(x + 100).item() == pytest.approx(effective_rank(x).item(), rel=1e-3)
    assert rankme(7 * x).item() == pytest.approx(rankme(x).item(), rel=1e-4)
    assert effective_rank(7 * x).item() == pytest.approx(effective_rank(x).item(), rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_constant_features_have_rank_one_and_no_spread(value):
    x = torch.full((8, 4), value)
    assert rankme(x).item() == pytest.approx(1, abs=1e-4)
    assert effective_rank(x).item() == pytest.approx(1, abs=1e-4)
    assert feature_std(x) == 0
    assert mean_cosine(x).item() == pytest.approx(1.0 if value else 0.0)


def test_feature_std_equals_a_loop_over_features():
    slow = np.mean([np.std(column, ddof=1) for column in features().double().numpy().T])
    assert feature_std(features()).item() == pytest.approx(slow, rel=1e-5)


def test_deviation_is_that_of_torch_with_all_axes_but_the_first_averaged():
    x = features().view(5, 4, 6) * torch.tensor([1.0, 10.0, 0.1, 0.0]).view(4, 1)
    torch.testing.assert_close(deviation(x), x.std(dim=0).mean())
    assert deviation(x.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("value", [3.3, 1e4 / 3])
def test_deviation_is_exact_beside_a_large_mean(value):
    assert deviation(torch.full((7, 4), value)) == 0
    torch.manual_seed(0)
    x = value + 1e-4 * value * torch.randn(7, 512)
    torch.testing.assert_close(deviation(x).double(), x.double().std(dim=0).mean(), atol=0, rtol=1e-6)


def test_mean_cosine_equals_a_loop_over_pairs():
    x = features().double().numpy()
    pairs = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j]
    assert mean_cosine(features()).item() == pytest.approx(np.mean(pairs), rel=1e-4)


def test_mean_cosine_of_known_directions():
    x = torch.tensor([[2.0, 0.0], [5.0, 0.0]])
    assert mean_cosine(x).item() == pytest.approx(1)
    assert mean_cosine(x * torch.tensor([[1.0], [-1.0]])).item() == pytest.approx(-1)
    assert mean_cosine(3 * torch.eye(5)).item() == pytest.approx(0, abs=1e-6)


def test_content_share_equals_a_loop_over_positions():
    torch.manual_seed(0)
    tokens = torch.randn(5, 4, 3) + 2 * torch.randn(4, 3)
    x = tokens.double().numpy()
    within = np.mean([[np.var(x[:, n, d]) for n in range(4)] for d in range(3)], axis=1).sum()
    total = sum(np.var(x[:, :, d]) for d in range(3))
    assert content_share(tokens).item() == pytest.approx(within / total, rel=1e-5)


def test_content_share_tells_position_from_content():
    torch.manual_seed(0)
    position, content = torch.randn(1, 16, 8), torch.randn(64, 1, 8)
    assert content_share(position.expand(64, -1, -1)).item() == pytest.approx(0, abs=1e-6)
    assert content_share(content.expand(-1, 16, -1)).item() == pytest.approx(1, abs=1e-6)
    half = content_share(position / position.var(correction=0).sqrt() + content / content.var(correction=0).sqrt())
    assert 0.4 < half < 0.6
    assert content_share(torch.full((4, 3, 2), 5.0)) == 0


@pytest.mark.parametrize("measure", [rankme, effective_rank, feature_std, mean_cosine, content_share])
def test_measures_have_no_gradient_take_half_precision_and_name_bad_input(measure):
    shape = (6, 4, 3) if measure is content_share else (6, 3)
    x = torch.randn(shape, requires_grad=True)
    assert not measure(x).requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert measure(x) == measure(x.detach())
    assert measure(x.bfloat16()) == measure(x.bfloat16().float())
    with pytest.raises(ValueError, match=rf"{measure.__name__} .* needs at least 2 samples, got 1"):
        measure(x[:1])
    with pytest.raises(ValueError, match=rf"{measure.__name__} takes \[B, .*\], got a tensor of shape \(6,\)"):
        measure(torch.randn(6))
