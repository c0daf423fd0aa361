import math

import pytest
import torch
from sklearn.metrics import average_precision_score, mean_absolute_error, r2_score
from torch.nn import functional as F

from jepa_lightning.probing.label_kinds import ClassLabel, TagLabel, ValueLabel, form_of, in_form


def scored(kind, outputs, target, batch=7):
    """The metrics of outputs that come in batches."""
    metrics = {name: metric.set_dtype(torch.float64) for name, metric in kind.metrics().items()}
    for part, truth in zip(outputs.split(batch), in_form(kind, target).split(batch), strict=True):
        for metric in metrics.values():
            metric.update(*kind.scored(part, truth))
    return {name: float(metric.compute()) for name, metric in metrics.items()}


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("offset", [0.0, 2000.0])
def test_metrics_of_values_are_those_of_scikit_learn(columns, offset):
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(40, columns, generator=generator) * torch.arange(1, columns + 1) + offset
    outputs = truth + 0.5 * torch.randn(40, columns, generator=generator)
    target = truth.clone()
    target[::5, 0] = torch.nan
    known = ~target.isnan().any(dim=1)
    found = scored(ValueLabel(columns), outputs, target[:, 0] if columns == 1 else target)
    expected = [outputs[known].double(), truth[known].double()]
    assert found["r2"] == pytest.approx(r2_score(expected[1], expected[0]), rel=1e-6)
    assert found["mae"] == pytest.approx(mean_absolute_error(expected[1], expected[0]), rel=1e-6)


def test_map_is_that_of_scikit_learn_without_tags_that_nobody_has():
    generator = torch.Generator().manual_seed(0)
    target = (torch.rand(50, 4, generator=generator) < 0.3).long()
    target[:, 2], target[::7] = 0, -1
    # large logits, whose sigmoid is 1 in single precision, and batches within [0, 1]
    outputs = torch.cat([torch.rand(25, 4, generator=generator), 40 + torch.randn(25, 4, generator=generator)])
    known = target[:, 0] >= 0
    present = [0, 1, 3]
    expected = average_precision_score(target[known][:, present], outputs[known][:, present], average="macro")
    assert scored(TagLabel(4), outputs, target) == {"map": pytest.approx(expected, rel=1e-6)}


def test_accuracy_leaves_out_the_unlabeled():
    outputs = F.one_hot(torch.tensor([0, 1, 2, 0]), 3).float()
    assert scored(ClassLabel(3), outputs, torch.tensor([0, 1, 0, -1])) == {"": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("kind", "outputs", "target", "slow"),
    [
        (ClassLabel(3), torch.randn(4, 3), torch.tensor([0, -1, 2, 1]), F.cross_entropy),
        (ValueLabel(2), torch.randn(3, 2), torch.tensor([[0.5, 1], [torch.nan, 2], [3, -1]]), F.mse_loss),
        (
            TagLabel(2),
            torch.randn(3, 2),
            torch.tensor([[0, 1], [-1, -1], [1, 1]]),
            lambda outputs, target: F.binary_cross_entropy_with_logits(outputs, target.float()),
        ),
    ],
)
def test_losses_are_sums_over_labeled_samples_with_finite_gradients(kind, outputs, target, slow):
    outputs = outputs.requires_grad_()
    loss = kind.loss(outputs, target)
    rows = [row for row in range(len(target)) if kind.labeled(target)[row]]
    assert len(rows) == len(target) - 1
    torch.testing.assert_close(loss, sum(slow(outputs[row : row + 1], target[row : row + 1]) for row in rows))
    loss.backward()
    assert outputs.grad[1].abs().max() == 0
    assert outputs.grad[0].abs().min() > 0


@pytest.mark.parametrize(
    ("kind", "target", "offender"),
    [
        (ClassLabel(3), [0, 2, -1], None),
        (ClassLabel(3), [0, 3, -1], 3),
        (ClassLabel(3), [0, -100, 1], -100),
        (ClassLabel(0), [0, 70], None),
        (ClassLabel(0), [0, -2], -2),
        (ValueLabel(1), [[0.0], [torch.nan]], None),
        (ValueLabel(1), [[0.0], [-torch.inf]], torch.inf),
        (TagLabel(2), [[0, 1], [-1, -1]], None),
        (TagLabel(2), [[0, 1], [2, 0]], 2),
        (TagLabel(2), [[0, 1], [-1, 0]], -1),
        (TagLabel(2), [[0, 1], [-100, -100]], -100),
    ],
)
def test_what_is_out_of_range_is_found(kind, target, offender):
    found = float(kind.offender(torch.tensor(target)))
    assert found == (-torch.inf if offender is None else offender)
    if offender is not None:
        assert str(offender) in kind.refusal(found)


def test_what_is_missing_is_unlabeled():
    for kind in (ClassLabel(3), ValueLabel(2), TagLabel(2)):
        missing = kind.missing(5)
        assert not kind.labeled(missing).any()
        assert kind.offender(missing) == -torch.inf
        assert form_of(missing)[0] is type(kind)


def test_neighbors_vote_average_and_share():
    weights = torch.tensor([[1.0, 3.0]])
    assert ClassLabel(3).from_neighbors(weights, torch.tensor([[2, 0]])).tolist() == [[3, 0, 1]]
    assert ValueLabel(2).from_neighbors(weights, torch.tensor([[[1.0, 0], [5.0, 4]]])).tolist() == [[4, 3]]
    assert TagLabel(2).from_neighbors(weights, torch.tensor([[[1, 1], [0, 1]]])).tolist() == [[0.25, 1]]


@pytest.mark.parametrize(
    ("target", "form"),
    [
        (torch.zeros(3, dtype=torch.long), (ClassLabel, 1)),
        (torch.zeros(3, dtype=torch.uint8), (ClassLabel, 1)),
        (torch.zeros(3), (ValueLabel, 1)),
        (torch.zeros(3, 1), (ValueLabel, 1)),
        (torch.zeros(3, 4, dtype=torch.float64), (ValueLabel, 4)),
        (torch.zeros(3, 4, dtype=torch.long), (TagLabel, 4)),
        (torch.zeros(3, 1, dtype=torch.long), None),
        (torch.zeros(3, dtype=torch.bool), None),
        (torch.zeros(3, 2, 2), None),
        (torch.zeros(()), None),
        (torch.zeros(3, dtype=torch.complex64), None),
    ],
)
def test_dtype_and_shape_tell_the_kind(target, form):
    assert form_of(target) == form


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_r2_does_not_depend_on_the_size_of_the_values(scale):
    generator = torch.Generator().manual_seed(0)
    target = scale * (3 + torch.randn(40, 2, generator=generator))
    outputs = target + 0.3 * scale * torch.randn(40, 2, generator=generator)
    assert scored(ValueLabel(2), outputs, target)["r2"] == pytest.approx(r2_score(target, outputs), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1234.5])
def test_r2_is_not_defined_where_all_targets_are_equal(value):
    equal = torch.full((50, 1), value)
    assert math.isnan(scored(ValueLabel(1), equal, equal)["r2"])
    assert math.isnan(scored(ValueLabel(1), equal + 1, equal)["r2"])
    generator = torch.Generator().manual_seed(0)
    target, outputs = torch.randn(2, 50, 1, generator=generator)
    both = scored(ValueLabel(2), torch.cat([outputs, equal], dim=1), torch.cat([target, equal], dim=1))
    assert both["r2"] == pytest.approx(r2_score(target, outputs), rel=1e-6)
