import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning.types import Batch

Build = Callable[..., Any]


def projections(model: Any, batch: Batch) -> list[Tensor]:
    """Those of each view; the projector takes all views as one batch."""
    pooled = torch.cat([model.encoder(view).mean(dim=1) for view in batch.views])
    return list(model.projector(pooled).chunk(len(batch.views)))


def distance_by_hand(views: list[Tensor]) -> Tensor:
    center = (views[0] + views[1]) / 2
    return sum(((view - center) ** 2).mean() for view in views) / len(views)


@pytest.mark.parametrize("share", [0.05, 0.4])
@pytest.mark.parametrize("num_local", [2, 0])
def test_objective_is_a_share_of_normality_and_the_rest_of_distance(
    tiny_method: Build, views_of: Build, share: float, num_local: int
) -> None:
    model = tiny_method("LeJEPA", sigreg_share=share, num_local=num_local)
    batch = views_of(model)
    assert len(batch.views) == 2 + num_local
    views = projections(model, batch)
    # each copy draws the directions of the same count
    normality = sum(copy.deepcopy(model.normality)(view) for view in views) / len(views)
    distance = distance_by_hand(views)
    output = model.objective(batch, 0.0)
    torch.testing.assert_close(output.logs["invariance"], distance.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.logs["normality"], normality.detach(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.loss, (1 - share) * distance + share * normality, atol=1e-5, rtol=1e-5)
    assert int(model.normality.draws) == 1


def test_normality_is_the_distance_of_characteristic_functions(tiny_method: Build, views_of: Build) -> None:
    """The statistic of the module against an integral in small steps, along one direction at a time."""
    model = tiny_method("LeJEPA", sigreg_share=1.0, num_directions=8, num_local=0).eval()
    batch = views_of(model)
    views = projections(model, batch)
    directions = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    knots = torch.linspace(-3, 3, 33, dtype=torch.float64)  # the 17 of [0, 3] and their mirror images
    normal = torch.exp(-(knots**2) / 2)
    found = []
    for view in views:
        for direction in directions.T:
            along = view.detach().double() @ (direction / direction.norm()).double()
            empirical = torch.exp(1j * knots[:, None] * along).mean(dim=1)
            integrand = (empirical - normal).abs() ** 2 * normal
            found.append(len(view) * torch.trapezoid(integrand, knots))
    loss = model.objective(batch, 0.0).loss
    torch.testing.assert_close(loss.double(), torch.stack(found).mean(), atol=1e-5, rtol=1e-4)


def test_shares_of_0_and_1_leave_one_term(tiny_method: Build, views_of: Build) -> None:
    for share, term in ((0.0, "invariance"), (1.0, "normality")):
        model = tiny_method("LeJEPA", sigreg_share=share)
        output = model.objective(views_of(model), 0.0)
        torch.testing.assert_close(output.loss, output.logs[term])


def test_energy_is_the_squared_distance_of_projections(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("LeJEPA").eval()
    first, second = views_of(model, size=4).views[:2]
    a, b = projections(model, Batch([first, second]))
    torch.testing.assert_close(model.energy(Batch([first, second])), ((a - b) ** 2).mean(dim=1))


def test_there_is_no_teacher_and_every_view_gets_a_gradient(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("LeJEPA")
    assert model.ema_pairs() == ()
    assert model.eval_encoder is model.encoder
    views = [view.requires_grad_() for view in views_of(model).views]
    model.objective(Batch(views), 0.0).loss.backward()
    assert all(view.grad.norm() > 0 for view in views)
