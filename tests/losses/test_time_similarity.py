from itertools import pairwise

import pytest
import torch

from jepa_lightning.losses import time_similarity_loss


def test_equals_a_slow_loop() -> None:
    states = torch.randn(3, 5, 4)
    total = 0.0
    for sample in states.tolist():
        for before, after in pairwise(sample):
            total += sum((a - b) ** 2 for a, b in zip(after, before, strict=True))
    assert time_similarity_loss(states).item() == pytest.approx(total / (3 * 4 * 4), rel=1e-5)


def test_is_zero_for_states_that_never_change_and_not_for_others() -> None:
    still = torch.randn(3, 1, 4).expand(-1, 5, -1)
    assert time_similarity_loss(still) == 0
    assert time_similarity_loss(still + torch.arange(5.0)[:, None]) == 1


@pytest.mark.parametrize(("shape", "message"), [((3, 1, 4), "needs at least 2, got 1"), ((3, 4), r"takes \[B, T, D\]")])
def test_other_shapes_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        time_similarity_loss(torch.zeros(shape))
