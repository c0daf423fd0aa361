import pytest
import torch
from sklearn.metrics import average_precision_score, r2_score

from jepa_lightning.evaluation.bootstrap import bootstrap_interval, weighted_map, weighted_r2
from jepa_lightning.probing.label_kinds import TagLabel, ValueLabel


@pytest.fixture
def draws() -> torch.Tensor:
    return torch.randint(50, (5, 50), generator=torch.Generator().manual_seed(0))


def test_r2_of_each_draw_is_that_of_scikit_learn(draws: torch.Tensor) -> None:
    torch.manual_seed(0)
    target = torch.randn(50, 2).double() + 1000
    outputs = target + 0.3 * torch.randn(50, 2)
    weights = torch.stack([torch.bincount(each, minlength=50).double() for each in draws])
    expected = [r2_score(target[each].numpy(), outputs[each].numpy()) for each in draws]
    assert weighted_r2(outputs, target, weights).tolist() == pytest.approx(expected, rel=1e-6)


def test_average_precision_of_each_draw_is_near_that_of_scikit_learn(draws: torch.Tensor) -> None:
    torch.manual_seed(0)
    outputs = torch.randn(50, 3).double()
    target = (outputs + torch.randn(50, 3) > 0.5).double()
    weights = torch.stack([torch.bincount(each, minlength=50).double() for each in draws])
    expected = [
        sum(average_precision_score(target[each, k].numpy(), outputs[each, k].numpy()) for k in range(3)) / 3
        for each in draws
    ]
    assert weighted_map(outputs, target, weights).tolist() == pytest.approx(expected, rel=1e-6)


def test_the_interval_holds_the_value_and_narrows_with_the_samples() -> None:
    torch.manual_seed(0)
    widths = []
    for size in (50, 800):
        target = torch.randn(size, 1)
        low, high = bootstrap_interval(ValueLabel(1), target + torch.randn(size, 1) * 0.5, target, 0.95, seed=0)
        assert low < 0.75 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    tags = (torch.randn(50, 2) > 0).long()
    assert bootstrap_interval(TagLabel(2), tags.float(), tags, 0.95, seed=0) == (1, 1)
