import math
from typing import Any

import pytest
import torch

from jepa_lightning.losses import context_loss, context_share, context_weights, distance_to_targets, prediction_distance
from jepa_lightning.types import Masks

GRID = (3, 4, 5)


def place(token: int) -> tuple[int, int, int]:
    return token // 20, token % 20 // 5, token % 5


@pytest.fixture
def masks() -> Masks:
    torch.manual_seed(0)
    order = torch.stack([torch.randperm(60) for _ in range(3)])
    return Masks(order[:, :30], order[:, 30:50].unflatten(1, (2, 10)))


def test_distances_and_weights_equal_a_search_token_by_token(masks: Masks) -> None:
    found, weights = distance_to_targets(masks, GRID), context_weights(masks, GRID)
    for sample in range(3):
        for block in range(2):
            for k, token in enumerate(masks.context[sample].tolist()):
                near = min(math.dist(place(token), place(other)) for other in masks.target[sample, block].tolist())
                assert found[sample, block, k].item() == pytest.approx(near, abs=1e-6)
                assert weights[sample, block, k].item() == pytest.approx(1 / math.sqrt(near), abs=1e-6)
    assert len(found.unique()) > 4  # else the search proves little


def test_the_weight_is_1_beside_a_mask_and_1_over_the_root_of_the_distance() -> None:
    masks = Masks(torch.tensor([[0, 1, 2, 3]]), torch.tensor([[[4]]]))
    torch.testing.assert_close(context_weights(masks, (1, 8))[0, 0], torch.tensor([4.0, 3.0, 2.0, 1.0]) ** -0.5)
    assert torch.equal(context_weights(masks, (1, 8), "uniform"), torch.ones(1, 1, 4))


def test_the_loss_is_the_weighted_mean_over_tokens(masks: Masks) -> None:
    predicted, tokens = torch.randn(3, 2, 30, 8), torch.randn(3, 60, 8)
    weights = context_weights(masks, GRID)
    each = [
        weights[b, m, k] * (predicted[b, m, k] - tokens[b, masks.context[b, k]]).abs().mean()
        for b in range(3) for m in range(2) for k in range(30)
    ]  # fmt: skip

    def distance(one: Any, other: Any) -> Any:
        return prediction_distance(one, other, "l1")

    torch.testing.assert_close(context_loss(predicted, tokens, masks, GRID, distance), torch.stack(each).mean())


@pytest.mark.parametrize(
    ("progress", "warmup", "expected"),
    [(0.0, (0.1, 0.3), 0), (0.1, (0.1, 0.3), 0), (0.2, (0.1, 0.3), 0.5), (0.3, (0.1, 0.3), 1), (1.0, (0.1, 0.3), 1),
     (0.0, (0.0, 0.0), 1), (0.4, (0.5, 0.5), 0), (0.5, (0.5, 0.5), 1), (0.0, (0.0, 0.5), 0)],
)  # fmt: skip
def test_the_warm_up_is_a_line_between_two_moments(progress: float, warmup: Any, expected: float) -> None:
    assert context_share(progress, warmup) == pytest.approx(expected)


def test_unknown_weights_are_refused(masks: Masks) -> None:
    with pytest.raises(ValueError, match="no context_weights 'near': choose one of distance, uniform"):
        context_weights(masks, GRID, "near")  # type: ignore[arg-type]
