import math

import pytest
import torch

from jepa_lightning.losses import PredictionLoss, prediction_distance, prediction_loss

DISTANCES = ["smooth_l1", "l1", "l2", "cosine"]


def slow_distance(predicted, target, distance):
    """Mean distance of two lists of vectors, in plain Python."""
    values = []
    for p, t in zip(predicted, target, strict=True):
        if distance == "cosine":
            dot = sum(a * b for a, b in zip(p, t, strict=True))
            values.append(1 - dot / math.sqrt(sum(a * a for a in p)) / math.sqrt(sum(b * b for b in t)))
            continue
        for a, b in zip(p, t, strict=True):
            gap = abs(a - b)
            values.append({"l1": gap, "l2": gap**2, "smooth_l1": gap**2 / 2 if gap < 1 else gap - 0.5}[distance])
    return sum(values) / len(values)


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 5), (3, 2, 4, 5)])
def test_distance_per_sample_equals_a_slow_loop(shape, distance):
    torch.manual_seed(0)
    predicted, target = 2 * torch.randn(shape), 2 * torch.randn(shape)
    fast = prediction_distance(predicted, target, distance)
    slow = [
        slow_distance(p.reshape(-1, 5).tolist(), t.reshape(-1, 5).tolist(), distance)
        for p, t in zip(predicted, target, strict=True)
    ]
    assert fast.tolist() == pytest.approx(slow, rel=1e-5)
    assert prediction_loss(predicted, target, distance).item() == pytest.approx(sum(slow) / 3, rel=1e-5)
    assert PredictionLoss(distance)(predicted, target) == prediction_loss(predicted, target, distance)


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_vectors_have_no_distance_and_a_step_down_the_gradient_lowers_it(distance):
    torch.manual_seed(0)
    target = torch.randn(4, 6)
    assert prediction_loss(target, target, distance).abs() < 1e-6
    predicted = torch.randn(4, 6, requires_grad=True)
    loss = prediction_loss(predicted, target, distance)
    loss.backward()
    assert prediction_loss(predicted - 0.01 * predicted.grad, target, distance) < loss


def test_known_values():
    predicted, target = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 0.5]])
    assert prediction_loss(predicted, target, "l1").item() == pytest.approx(1.75)
    assert prediction_loss(predicted, target, "l2").item() == pytest.approx(4.625)
    assert prediction_loss(predicted, target, "smooth_l1").item() == pytest.approx((2.5 + 0.125) / 2)
    assert prediction_loss(predicted, target, "cosine").item() == pytest.approx(1)
    assert prediction_loss(predicted, -predicted, "cosine").item() == pytest.approx(2)


def test_half_precision_is_compared_in_float32():
    predicted, target = torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    for distance in DISTANCES:
        half = prediction_distance(predicted.bfloat16(), target, distance)
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, prediction_distance(predicted.bfloat16().float(), target, distance))


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 1, 4\) do not fit targets of shape \(2, 3, 4\)"):
        prediction_loss(torch.randn(2, 1, 4), torch.randn(2, 3, 4))


def test_unknown_distance_is_refused_at_construction_and_in_the_function():
    message = "no distance 'huber': choose one of smooth_l1, l1, l2, cosine"
    with pytest.raises(ValueError, match=message):
        PredictionLoss("huber")
    with pytest.raises(ValueError, match=message):
        prediction_loss(torch.randn(2, 3), torch.randn(2, 3), "huber")
