import math

import pytest
import torch
from sklearn.metrics import average_precision_score, r2_score

from jepa_lightning.probing.metrics import DefinedR2, PresentAveragePrecision, precise


def test_r2_is_that_of_the_columns_whose_targets_differ():
    generator = torch.Generator().manual_seed(0)
    target, outputs = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    target[:, 1] = 7.5
    metric = DefinedR2().set_dtype(torch.float64)
    for part, truth in zip(outputs.split(9), target.split(9), strict=True):
        metric.update(part, truth)
    assert float(metric.compute()) == pytest.approx(r2_score(target[:, [0, 2]], outputs[:, [0, 2]]), rel=1e-9)
    equal = DefinedR2()
    equal.update(outputs[:, 0].float(), torch.full((50,), 7.5))
    assert math.isnan(equal.compute())


def test_map_is_that_of_the_tags_that_a_sample_has():
    generator = torch.Generator().manual_seed(0)
    target, outputs = torch.zeros(40, 3, dtype=torch.long), torch.rand(40, 3, generator=generator)
    target[::3, 0], target[::4, 2] = 1, 1
    metric = PresentAveragePrecision(3, average=None, validate_args=False)
    metric.update(outputs, target)
    expected = average_precision_score(target[:, [0, 2]], outputs[:, [0, 2]], average="macro")
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)
    none = PresentAveragePrecision(3, average=None, validate_args=False)
    none.update(outputs, torch.zeros_like(target))
    assert math.isnan(none.compute())


def test_double_precision_where_the_device_has_it():
    assert precise(torch.device("cpu")) == torch.float64
    assert precise(torch.device("mps")) == torch.float32
