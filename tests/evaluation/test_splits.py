import pytest
import torch

from jepa_lightning.evaluation.splits import draw_of_each, hold_out


def test_a_share_of_each_class_is_held_out_and_small_classes_stay() -> None:
    target = torch.tensor([0] * 50 + [1] * 10 + [2] * 3)
    fit, held = hold_out(target, classes=True, seed=0)
    assert torch.bincount(target[held], minlength=3).tolist() == [10, 2, 0]
    assert sorted([*fit.tolist(), *held.tolist()]) == list(range(63))
    assert held.tolist() == hold_out(target, True, seed=0)[1].tolist() != hold_out(target, True, seed=1)[1].tolist()


def test_samples_without_classes_are_one_group() -> None:
    assert len(hold_out(torch.randn(10, 2), classes=False, seed=0)[1]) == 2


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="leave none to choose options on"):
        hold_out(torch.arange(8), classes=True, seed=0)


@pytest.mark.parametrize(("number", "expected"), [(2, [2, 2, 1]), (0.1, [4, 1, 1]), (0.01, [1, 1, 1])])
def test_draws_have_a_number_or_a_share_of_each_class(number: float, expected: list[int]) -> None:
    target = torch.tensor([0] * 40 + [1] * 10 + [2])
    drawn = draw_of_each(target, number, seed=3)
    assert torch.bincount(target[drawn]).tolist() == expected
    assert len(set(drawn.tolist())) == len(drawn)
