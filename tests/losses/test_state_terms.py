import math

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning.losses import StateTerms


def trajectories() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(6, 5, 4) * torch.tensor([0.2, 0.6, 1.0, 2.0]) + 1, torch.randn(6, 4, 2)


def test_variance_and_covariance_pool_all_frames() -> None:
    states, actions = trajectories()
    terms = StateTerms(variance=3.0, covariance=2.0)(states, actions)
    samples = [frame for sample in states.double().tolist() for frame in sample]
    number, means = len(samples), [sum(column) / len(samples) for column in zip(*samples, strict=True)]
    covariance = [
        [sum((x[i] - means[i]) * (x[j] - means[j]) for x in samples) / (number - 1) for j in range(4)] for i in range(4)
    ]
    hinge = sum(max(0.0, 1 - math.sqrt(covariance[j][j] + 1e-4)) for j in range(4)) / 4
    off_diagonal = [covariance[i][j] ** 2 for i in range(4) for j in range(4) if i != j]
    assert hinge > 0.1
    assert terms["variance"].item() == pytest.approx(3 * hinge, rel=1e-5)
    assert terms["covariance"].item() == pytest.approx(2 * sum(off_diagonal) / 12, rel=1e-5)


def slow_sigreg(samples: Tensor, directions: Tensor) -> float:
    """The statistic of one time step, number by number, with the weights of the paper's code."""
    knots = [3 * k / 16 for k in range(17)]
    total = 0.0
    for direction in directions.T.double():
        x = (samples.double() @ direction).tolist()
        for k, t in enumerate(knots):
            weight = (1 if k in (0, 16) else 2) * 3 / 16 * math.exp(-t * t / 2)
            real = sum(math.cos(t * each) for each in x) / len(x) - math.exp(-t * t / 2)
            imaginary = sum(math.sin(t * each) for each in x) / len(x)
            total += weight * (real**2 + imaginary**2)
    return len(samples) * total / directions.shape[1]


def test_sigreg_is_of_each_time_step_and_averaged() -> None:
    states, actions = trajectories()
    states = states + torch.arange(5.0)[:, None]  # pooled over frames it would be another number
    terms = StateTerms(sigreg=0.09, num_directions=3).eval()
    directions = terms.normality._directions(states[:, 0])
    expected = 0.09 * sum(slow_sigreg(states[:, t], directions) for t in range(5)) / 5
    assert terms(states, actions)["sigreg"].item() == pytest.approx(expected, rel=1e-4)


def test_weights_multiply_and_terms_without_one_are_left_out() -> None:
    states, actions = trajectories()
    network = nn.Linear(8, 2)
    found = {}
    for factor in (1.0, 5.0):
        terms = StateTerms(similarity=factor, inverse=factor, inverse_network=network)
        found[factor] = terms(states, actions)
        assert list(found[factor]) == ["similarity", "inverse"]
    for name in found[1.0]:
        torch.testing.assert_close(found[5.0][name], 5 * found[1.0][name])
    assert StateTerms()(states, actions) == {}
    assert not list(StateTerms(similarity=1.0, inverse_network=network).parameters())


def test_inverse_dynamics_need_a_network() -> None:
    with pytest.raises(ValueError, match="inverse=2 needs an inverse_network"):
        StateTerms(inverse=2.0)
