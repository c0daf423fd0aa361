import io
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lightning.losses import Center, distillation_loss, sinkhorn_knopp


def logits(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def slow_distillation(student: list[Tensor], teacher: list[Tensor], temperature: float) -> float:
    pairs = []
    for i, target in enumerate(teacher):
        for j, predicted in enumerate(student):
            if i == j:
                continue
            samples = []
            for p, z in zip(target.double().numpy(), predicted.double().numpy() / temperature, strict=True):
                normalizer = math.log(sum(math.exp(value) for value in z))
                samples.append(sum(-share * (value - normalizer) for share, value in zip(p, z, strict=True)))
            pairs.append(sum(samples) / len(samples))
    return sum(pairs) / len(pairs)


def slow_sinkhorn(scores: Tensor, temperature: float, iterations: int) -> np.ndarray:
    shares = np.exp(scores.double().numpy() / temperature)
    for _ in range(iterations):
        for column in range(shares.shape[1]):
            shares[:, column] /= shares[:, column].sum()
        for row in range(shares.shape[0]):
            shares[row] /= shares[row].sum()
    return shares


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize(("global_views", "local_views"), [(2, 0), (2, 3), (1, 1), (3, 1)])
def test_distillation_equals_a_slow_loop_over_pairs_of_views(
    global_views: int, local_views: int, temperature: float
) -> None:
    student = list(logits(global_views + local_views, 4, 5))
    teacher = list(torch.softmax(3 * logits(global_views, 4, 5, seed=1), dim=-1))
    loss = distillation_loss(student, teacher, temperature)
    assert loss.item() == pytest.approx(slow_distillation(student, teacher, temperature), rel=1e-5)


def test_a_student_that_assigns_as_the_teacher_costs_the_teachers_entropy() -> None:
    assigned = torch.softmax(logits(4, 5), dim=1)
    entropy = -(assigned * assigned.log()).sum(dim=1).mean()
    student = 0.1 * assigned.log()
    torch.testing.assert_close(distillation_loss([student] * 3, [assigned] * 2, 0.1), entropy)
    assert distillation_loss([student, student + 0.1 * logits(4, 5, seed=1)], [assigned] * 2, 0.1) > entropy


def test_gradients_reach_the_student_alone() -> None:
    student = [view.clone().requires_grad_() for view in logits(3, 4, 5)]
    teacher = [view.clone().requires_grad_() for view in torch.softmax(logits(2, 4, 5, seed=1), dim=-1)]
    distillation_loss(student, teacher, 0.5).backward()
    assert all(view.grad is None for view in teacher)
    # of the cross-entropies of a view: predicted less assigned, over the temperature
    targets = [[teacher[1]], [teacher[0]], teacher]
    for view, others in zip(student, targets, strict=True):
        expected = sum(torch.softmax(view / 0.5, dim=1) - other for other in others) / 0.5 / 4 / 4
        torch.testing.assert_close(view.grad, expected)


def test_distillation_of_half_precision_is_in_float32() -> None:
    student, teacher = list(logits(2, 4, 5).bfloat16()), list(torch.softmax(logits(2, 4, 5, seed=1), dim=-1))
    loss = distillation_loss(student, teacher)
    assert loss == distillation_loss([view.float() for view in student], teacher)
    assert loss.dtype == torch.float32


def test_views_that_cannot_be_paired_are_named() -> None:
    view = torch.full((4, 5), 0.2)
    match = r"distillation_loss takes two or more views of one shape \[B, P\], got"
    for student, teacher in (
        ([view], [view]),
        ([view, view], []),
        ([view, view[:3]], [view]),
        ([view, view], [view[:, :4]]),
    ):
        with pytest.raises(ValueError, match=match):
            distillation_loss(student, teacher)
    for temperature in (0.0, -1.0):
        with pytest.raises(ValueError, match=f"distillation_loss needs a temperature above 0, got {temperature}"):
            distillation_loss([view, view], [view], temperature)


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize(("samples", "prototypes", "temperature"), [(6, 4, 0.5), (3, 8, 0.05), (1, 5, 1.0)])
def test_sinkhorn_equals_a_slow_version_and_its_rows_sum_to_1(
    samples: int, prototypes: int, temperature: float, iterations: int
) -> None:
    scores = logits(samples, prototypes).requires_grad_()
    assigned = sinkhorn_knopp(scores, temperature, iterations)
    np.testing.assert_allclose(assigned, slow_sinkhorn(scores.detach(), temperature, iterations), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(assigned.sum(dim=1), torch.ones(samples))
    assert not assigned.requires_grad


@pytest.mark.parametrize(("samples", "prototypes"), [(12, 4), (4, 12)])
def test_after_many_rounds_every_prototype_has_an_equal_share(samples: int, prototypes: int) -> None:
    scores = logits(samples, prototypes) + 3 * torch.arange(prototypes)  # nearly all prefer the last
    shares = sinkhorn_knopp(scores, 1.0, 50).sum(dim=0)
    torch.testing.assert_close(shares, torch.full((prototypes,), samples / prototypes))
    assert torch.softmax(scores, dim=1).sum(dim=0)[-1] > 0.9 * samples


def test_sinkhorn_keeps_apart_what_float32_cannot_exponentiate() -> None:
    scores = 4 * logits(6, 4) - 30 * torch.arange(6)[:, None]
    assert torch.exp(scores / 0.5 - (scores / 0.5).max())[5].sum() == 0
    np.testing.assert_allclose(sinkhorn_knopp(scores, 0.5), slow_sinkhorn(scores, 0.5, 3), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_sinkhorn_of_huge_logits_is_finite(scale: float) -> None:
    assigned = sinkhorn_knopp(scale * logits(6, 4), 0.05)
    assert assigned.isfinite().all()
    torch.testing.assert_close(assigned.sum(dim=1), torch.ones(6))


def test_sinkhorn_without_a_round_or_a_temperature_is_named() -> None:
    with pytest.raises(ValueError, match=r"sinkhorn_knopp needs a temperature above 0 and a round, got 0.0 and 3"):
        sinkhorn_knopp(logits(3, 4), 0.0)
    with pytest.raises(ValueError, match=r"sinkhorn_knopp .* got 0.1 and 0 rounds"):
        sinkhorn_knopp(logits(3, 4), 0.1, 0)


def test_center_is_a_moving_mean_that_survives_its_state_dict() -> None:
    center, expected = Center(5, momentum=0.7), np.zeros(5)
    for step in range(6):
        batch = (3 * logits(4, 5, seed=step) + 1).requires_grad_()
        center(batch)
        expected = 0.7 * expected + 0.3 * batch.detach().double().numpy().mean(axis=0)
        np.testing.assert_allclose(center.value, expected, rtol=1e-5, atol=1e-6)
    assert not center.value.requires_grad
    file = io.BytesIO()
    torch.save(center.state_dict(), file)
    file.seek(0)
    resumed = Center(5, momentum=0.7)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for module in (center, resumed):
        module(logits(4, 5, seed=9).bfloat16())
    assert torch.equal(resumed.value, center.value)
