from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from jepa_lightning.types import Batch

Build = Callable[..., Any]


def loss_by_hand(model: Any, batch: Batch, off_diagonal: float) -> float:
    """The paper's equation 1, one correlation at a time."""
    views = [
        model.projector(model.encoder(view).mean(dim=1)).detach().double().numpy()  # each view with its own statistics
        for view in batch.views
    ]
    a, b = ((view - view.mean(axis=0)) / np.sqrt(view.var(axis=0) + 1e-5) for view in views)
    size, width = a.shape
    total = 0.0
    for i in range(width):
        for j in range(width):
            correlation = (a[:, i] * b[:, j]).sum() / size
            total += (1 - correlation) ** 2 if i == j else off_diagonal * correlation**2
    return total


@pytest.mark.parametrize(
    ("options", "off_diagonal", "scale"),
    [({}, 0.0051, 0.024), ({"off_diagonal": 0.3, "loss_scale": 1.0}, 0.3, 1.0)],
)
def test_objective_equals_a_loop_over_correlations(
    tiny_method: Build, views_of: Build, options: dict[str, float], off_diagonal: float, scale: float
) -> None:
    model = tiny_method("BarlowTwins", **options)
    batch = views_of(model)
    expected = scale * loss_by_hand(model, batch, off_diagonal)
    assert model.objective(batch, 0.0).loss.item() == pytest.approx(expected, rel=1e-4)


def test_the_diagonal_of_equal_views_costs_nothing(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("BarlowTwins", off_diagonal=0.0, loss_scale=1.0)
    first, second = views_of(model).views
    assert model.objective(Batch([first, first]), 0.0).loss < 1e-3
    assert model.objective(Batch([first, second]), 0.0).loss > 1


def test_energy_is_2_minus_2_cos_of_the_projections(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("BarlowTwins").eval()
    batch = views_of(model, size=4)
    first, second = (model.projector(model.encoder(view).mean(dim=1)) for view in batch.views)
    torch.testing.assert_close(model.energy(batch), 2 - 2 * F.cosine_similarity(first, second), atol=1e-5, rtol=1e-5)


def test_a_batch_of_one_is_refused(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("BarlowTwins").eval()
    with pytest.raises(ValueError, match="needs at least 2 samples, got 1"):
        model.objective(views_of(model, size=1), 0.0)


def test_views_are_byols(tiny_method: Build) -> None:
    assert tiny_method("BarlowTwins").augmentations() == tiny_method("BYOL").augmentations()
