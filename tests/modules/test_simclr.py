from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from jepa_lightning.types import Batch

Build = Callable[..., Any]


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_objective_equals_a_loop_over_all_views(tiny_method: Build, views_of: Build, temperature: float) -> None:
    model = tiny_method("SimCLR", temperature=temperature)
    batch = views_of(model, size=6)
    # in train mode: one pass, so that batch normalization has the statistics of both views
    projected = model.projector(model.encoder(torch.cat(batch.views)).mean(dim=1)).double()
    losses = []
    for i in range(12):
        cosines = F.cosine_similarity(projected[i : i + 1], projected) / temperature
        others = [cosines[j] for j in range(12) if j != i]
        losses.append(torch.logsumexp(torch.stack(others), dim=0) - cosines[(i + 6) % 12])
    output = model.objective(batch, 0.0)
    torch.testing.assert_close(output.loss.double(), torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)


def test_energy_is_2_minus_2_cos_of_the_projections(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("SimCLR").eval()
    first, second = views_of(model, size=4).views
    a, b = (F.normalize(model.projector(model.encoder(view).mean(dim=1)), dim=1) for view in (first, second))
    torch.testing.assert_close(model.energy(Batch([first, second])), (a - b).square().sum(dim=1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.energy(Batch([first])), torch.zeros(4), atol=1e-5, rtol=0)


def test_the_order_of_views_does_not_matter(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("SimCLR")
    batch = views_of(model)
    loss, swapped = (model.objective(Batch(views), 0.0).loss for views in (batch.views, batch.views[::-1]))
    torch.testing.assert_close(loss, swapped)


def test_colors_change_twice_as_much_as_in_byol(tiny_method: Build) -> None:
    (view, same), (other, _) = (tiny_method(name).augmentations() for name in ("SimCLR", "BYOL"))
    assert view == same
    assert view.jitter == tuple(2 * strength for strength in (*other.jitter[:2], 0.4, other.jitter[3]))
    assert view.solarize == 0


def test_a_batch_of_one_is_refused(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("SimCLR")
    with pytest.raises(ValueError, match="needs at least 2 samples, got 1: use a larger batch"):
        model.objective(views_of(model, size=1), 0.0)
