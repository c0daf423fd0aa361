import pytest
import torch

from jepa_lightning.planning import Bounds, shift

BOUNDS = Bounds(torch.tensor([0.0]), torch.tensor([2.0]))


@pytest.mark.parametrize(
    ("steps", "horizon", "expected"),
    [
        (0, 3, [1, 2, 3]),
        (1, 3, [2, 3, -1]),
        (1, 2, [2, 3]),
        (2, 1, [3]),
        (3, 2, [-1, -1]),
        (5, 2, [-1, -1]),
        (0, 4, [1, 2, 3, -1]),
    ],
)
def test_what_was_executed_is_left_out_and_the_middle_is_put_at_the_end(
    steps: int, horizon: int, expected: list[float]
) -> None:
    plan = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    middle = 1.0
    assert shift(plan, steps, horizon, BOUNDS).flatten().tolist() == [middle if n < 0 else n for n in expected]
