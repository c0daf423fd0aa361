import pytest
import torch
from torch.nn import functional as F

from jepa_lightning.losses import SIGReg, Uniformity, VarianceCovariance
from jepa_lightning.modules.regularizer import build_regularizer

WEIGHTS = {"variance": 5.0, "covariance": 0.5, "sigreg": 0.2, "uniformity": 0.7}


def views(count: int) -> list[torch.Tensor]:
    return list(torch.randn(count, 8, 6, generator=torch.Generator().manual_seed(0)))


def test_terms_of_three_views_equal_a_loop_over_views_and_pairs():
    a, b, c = views(3)
    statistic = Uniformity(0.7)
    regularizer = build_regularizer("uniformity", 6, **WEIGHTS, invariance=2.0, projector=None)
    spread = (statistic(a) + statistic(b) + statistic(c)) / 3
    apart = sum(1 - F.cosine_similarity(x, y, dim=1).mean() for x, y in ((a, b), (a, c), (b, c))) / 3
    torch.testing.assert_close(regularizer([a, b, c]), spread + 2 * apart)
    torch.testing.assert_close(regularizer([a]), statistic(a))


def test_variance_covariance_compares_views_by_squared_distance():
    a, b = views(2)
    statistic = VarianceCovariance(5, 0.5)
    regularizer = build_regularizer("variance_covariance", 6, **WEIGHTS, invariance=3.0, projector=None)
    torch.testing.assert_close(regularizer([a, b]), (statistic(a) + statistic(b)) / 2 + 3 * (a - b).square().mean())


def test_sigreg_has_its_weight():
    regularizer = build_regularizer("sigreg", 6, **WEIGHTS, invariance=0.0, projector=None)
    torch.testing.assert_close(regularizer(views(1)), SIGReg(weight=0.2)(views(1)[0]))


def test_projector_stands_between_features_and_statistic():
    regularizer = build_regularizer("uniformity", 6, **WEIGHTS, invariance=1.0, projector=10)
    a, b = views(2)
    head = regularizer.projector
    projected = [head(a), head(b)]
    assert projected[0].shape == (8, 10)
    expected = 0.7 * (Uniformity()(projected[0]) + Uniformity()(projected[1])) / 2
    expected = expected + 1 - F.cosine_similarity(*projected, dim=1).mean()
    torch.testing.assert_close(regularizer([a, b]), expected)


@pytest.mark.parametrize("name", ["variance_covariance", "sigreg", "uniformity"])
def test_the_gradient_reaches_every_view(name):
    features = [view.requires_grad_() for view in views(2)]
    build_regularizer(name, 6, **WEIGHTS, invariance=1.0, projector=10)(features).backward()
    assert all(view.grad.abs().sum() > 0 for view in features)


def test_none_is_none():
    assert build_regularizer(None, 6, **WEIGHTS, invariance=0.0, projector=None) is None
