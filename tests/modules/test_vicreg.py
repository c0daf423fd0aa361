from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from jepa_lightning.types import Batch

Build = Callable[..., Any]


def terms(model: Any, batch: Batch) -> tuple[float, list[float], list[float]]:
    """Invariance of the pair, and variance and covariance of each view, as the paper's equations write them."""
    views = [
        model.projector(model.encoder(view).mean(dim=1)).detach().double().numpy()  # each view with its own statistics
        for view in batch.views
    ]
    width = views[0].shape[1]
    invariance = float(np.mean([(a - b) ** 2 for a, b in zip(*views, strict=True)]))
    variances, covariances = [], []
    for view in views:
        variances.append(sum(max(0.0, 1 - np.sqrt(np.var(view[:, j], ddof=1) + 1e-4)) for j in range(width)) / width)
        matrix = np.cov(view, rowvar=False)
        covariances.append(sum(matrix[i, j] ** 2 for i in range(width) for j in range(width) if i != j) / width)
    return invariance, variances, covariances


@pytest.mark.parametrize("factors", [(25.0, 25.0, 1.0), (3.0, 5.0, 7.0)])
def test_objective_sums_its_terms_over_views(
    tiny_method: Build, views_of: Build, factors: tuple[float, float, float]
) -> None:
    invariance, variance, covariance = factors
    options = {} if invariance == 25 else {"invariance": invariance, "variance": variance, "covariance": covariance}
    model = tiny_method("VICReg", **options)
    batch = views_of(model)
    apart, variances, covariances = terms(model, batch)
    output = model.objective(batch, 0.0)
    spread = variance * sum(variances) + covariance * sum(covariances)
    assert output.logs["invariance"].item() == pytest.approx(invariance * apart, rel=1e-4)
    assert output.logs["spread"].item() == pytest.approx(spread, rel=1e-4)
    assert output.loss.item() == pytest.approx(invariance * apart + spread, rel=1e-4)


def test_equal_views_have_no_distance_and_still_a_gradient(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("VICReg")
    view = views_of(model).views[0]
    output = model.objective(Batch([view, view]), 0.0)
    assert output.logs["invariance"] == 0
    output.loss.backward()
    assert model.projector[0].weight.grad.norm() > 0


def test_energy_is_2_minus_2_cos_of_the_projections(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("VICReg").eval()
    batch = views_of(model, size=4)
    first, second = (model.projector(model.encoder(view).mean(dim=1)) for view in batch.views)
    torch.testing.assert_close(
        model.energy(batch), 2 - 2 * nn.functional.cosine_similarity(first, second), atol=1e-5, rtol=1e-5
    )


def test_a_batch_of_one_is_refused(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("VICReg").eval()
    with pytest.raises(ValueError, match="is a statistic over the batch and needs at least 2 samples, got 1"):
        model.objective(views_of(model, size=1), 0.0)


def test_both_views_have_the_same_chances(tiny_method: Build) -> None:
    first, second = tiny_method("VICReg").augmentations()
    assert first == second
    assert (first.blur, first.solarize) == (0.5, 0.1)
