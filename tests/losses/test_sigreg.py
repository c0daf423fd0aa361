import io

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from jepa_lightning.losses import SIGReg, sigreg_loss


def unit_directions(width: int, count: int) -> torch.Tensor:
    return F.normalize(torch.randn(width, count, generator=torch.Generator().manual_seed(1)), dim=0)


def slow_sigreg(features, directions, low, high, knots):
    """The statistic with complex exponentials over the whole range of t, in numpy."""
    t = np.linspace(low, high, knots)
    normal = np.exp(-(t**2) / 2)
    statistics = []
    for direction in directions.double().numpy().T:
        projected = features.double().numpy() @ direction
        empirical = np.zeros(knots, dtype=complex)
        for x in projected:
            empirical += np.exp(1j * t * x) / len(projected)
        statistics.append(len(projected) * np.trapezoid(np.abs(empirical - normal) ** 2 * normal, t))
    return np.mean(statistics)


def closed_form(features, directions):
    """The same integral over all t, by the Gaussian integrals of its three terms."""
    statistics = []
    for x in (features.double() @ directions.double()).numpy().T:
        pairs = np.sqrt(2 * np.pi) * np.exp(-((x[:, None] - x) ** 2) / 2).sum() / len(x)
        cross = 2 * np.sqrt(np.pi) * np.exp(-(x**2) / 4).sum()
        statistics.append(pairs - cross + len(x) * np.sqrt(2 * np.pi / 3))
    return np.mean(statistics)


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_equals_a_slow_loop_with_complex_exponentials(scale):
    torch.manual_seed(0)
    features, directions = scale * torch.randn(9, 6) + 0.5, unit_directions(6, 4)
    assert sigreg_loss(features, directions).item() == pytest.approx(
        slow_sigreg(features, directions, -3, 3, 33), rel=1e-4
    )
    assert sigreg_loss(features, directions, num_knots=9, max_t=5).item() == pytest.approx(
        slow_sigreg(features, directions, -5, 5, 17), rel=1e-4
    )


def test_fine_knots_give_the_closed_form_of_the_statistic():
    torch.manual_seed(0)
    features, directions = 1.5 * torch.randn(20, 6), unit_directions(6, 4)
    fine = sigreg_loss(features, directions, num_knots=200, max_t=8)
    assert fine.item() == pytest.approx(closed_form(features, directions), rel=1e-4)


def test_collapse_to_a_point_costs_what_the_integral_says():
    collapsed = torch.zeros(10, 3)
    expected = 10 * np.sqrt(2 * np.pi) * (1 - 2 / np.sqrt(2) + 1 / np.sqrt(3))
    assert sigreg_loss(collapsed, unit_directions(3, 5), 200, 8).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("batch", [8, 128])
def test_standard_normal_features_cost_about_one_at_every_batch_size(batch):
    torch.manual_seed(0)
    values = [sigreg_loss(torch.randn(batch, 16), unit_directions(16, 64)).item() for _ in range(500)]
    # the integral of (1 - exp(-t^2)) exp(-t^2/2) over [-3, 3]; one value scatters by 0.2, their mean by 0.01
    assert np.mean(values) == pytest.approx(1.0527, abs=0.05)


def test_every_departure_from_the_standard_normal_costs_more():
    torch.manual_seed(0)
    normal, directions = torch.randn(512, 16), unit_directions(16, 64)
    base = sigreg_loss(normal, directions)
    departures = {
        "collapsed": torch.ones(512, 16),
        "half the dimensions": normal * (torch.arange(16) < 8),
        "small": 0.5 * normal,
        "large": 2 * normal,
        "shifted": normal + 0.5,
        "bimodal": 0.3 * normal + torch.randint(0, 2, (512, 1)) * 2.0 - 1,
    }
    for name, features in departures.items():
        assert sigreg_loss(features, directions) > 5 * base, name


def test_descending_the_gradient_makes_features_standard_normal():
    torch.manual_seed(0)
    features = (0.2 * torch.randn(128, 4) + 1).requires_grad_()
    module, optimizer = SIGReg(num_directions=32), torch.optim.Adam([features], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        module(features).backward()
        optimizer.step()
    assert features.mean(dim=0).abs().max() < 0.1
    assert (features.std(dim=0) - 1).abs().max() < 0.1


def test_module_draws_fresh_unit_directions_that_depend_on_the_count_alone():
    features = torch.randn(8, 6)
    module = SIGReg(num_directions=5)
    torch.manual_seed(1)
    first = [module(features).item() for _ in range(3)]
    torch.manual_seed(2)
    other = SIGReg(num_directions=5)
    assert first == [other(features).item() for _ in range(3)]
    assert len(set(first)) == 3
    assert module.draws == 3
    for draw, value in enumerate(first):
        directions = torch.randn(6, 5, generator=torch.Generator().manual_seed(draw))
        assert sigreg_loss(features, directions / directions.norm(dim=0)).item() == pytest.approx(value, rel=1e-5)


def test_module_weighs_the_loss():
    features = torch.randn(8, 6)
    assert SIGReg(weight=0.05)(features).item() == pytest.approx(0.05 * SIGReg()(features).item(), rel=1e-6)


def test_module_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    SIGReg()(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)


def test_module_resumes_with_the_directions_it_would_have_had():
    features, module = torch.randn(8, 6), SIGReg(num_directions=5)
    for _ in range(3):
        module(features)
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    resumed = SIGReg(num_directions=5)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    assert [resumed(features).item() for _ in range(3)] == [module(features).item() for _ in range(3)]


def test_module_in_eval_mode_repeats_its_directions():
    features, module = torch.randn(8, 6), SIGReg(num_directions=5).eval()
    assert module(features) == module(features)
    assert module.draws == 0


def test_autocast_and_half_precision_do_not_coarsen_the_statistic():
    features, directions = torch.randn(16, 8), unit_directions(8, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = sigreg_loss(features, directions)
    assert inside.dtype == torch.float32
    assert inside == sigreg_loss(features, directions)
    assert sigreg_loss(features.bfloat16(), directions) == sigreg_loss(features.bfloat16().float(), directions)


def test_shapes_and_knots_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"sigreg_loss takes \[B, D\], got a tensor of shape \(2, 3, 4\)"):
        sigreg_loss(torch.randn(2, 3, 4), unit_directions(4, 2))
    with pytest.raises(ValueError, match=r"directions of shape \(4, 2\) do not fit features of shape \(2, 3\)"):
        sigreg_loss(torch.randn(2, 3), unit_directions(4, 2))
    with pytest.raises(ValueError, match="needs at least 2 knots to integrate over, got 1"):
        sigreg_loss(torch.randn(2, 4), unit_directions(4, 2), num_knots=1)
