import pytest
import torch

from jepa_lightning.probing.target_scale import TargetScale


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_targets_get_mean_0_and_variance_1_and_come_back(quiet_trainer, offset):
    target = 3 * torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + offset
    labeled = torch.arange(64) % 3 != 0
    target[~labeled] = torch.nan
    scale = TargetScale(2, torch.device("cpu"))
    for part, known in zip(target.split(10), labeled.split(10), strict=True):
        scale.add(part, known)
        scale.settle(quiet_trainer())
    kept = target[labeled].double()
    expected = (kept - kept.mean(dim=0)) / kept.std(dim=0, correction=0)
    torch.testing.assert_close(scale.standardize(target)[labeled].double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(scale.restore(scale.standardize(target))[labeled], kept, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 12345.678])
def test_a_constant_is_standardized_to_0(value):
    target = torch.full((1000, 1), value)
    scale = TargetScale(1, torch.device("cpu"))
    scale.add(target, torch.ones(1000, dtype=torch.bool))
    assert scale.standardize(target).abs().max() < 1e-3
    assert float(scale.restore(torch.zeros(1, 1))) == pytest.approx(value)


def test_nothing_seen_changes_nothing():
    scale = TargetScale(2, torch.device("cpu"))
    target = torch.randn(3, 2)
    torch.testing.assert_close(scale.standardize(target), target)
