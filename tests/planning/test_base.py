# B episodes, S samples, H steps, A dimension of an action
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import CEM, Bounds, episode_generators
from jepa_lightning.planning.base import costs_of, take


def nothing(actions: Tensor) -> Tensor:
    return actions.sum(dim=(2, 3))


def test_samples_are_taken_by_episode() -> None:
    samples = torch.arange(2 * 3 * 4 * 1).view(2, 3, 4, 1)
    found = take(samples, torch.tensor([[2, 0], [1, 1]]))
    assert torch.equal(found, torch.stack([samples[0, [2, 0]], samples[1, [1, 1]]]))


def test_a_sound_cost_is_returned_as_it_is() -> None:
    actions = torch.randn(2, 3, 4, 1)
    assert torch.equal(costs_of(nothing, actions), nothing(actions))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_cost_that_is_not_finite_is_one_line(few: Any, box: Bounds, bad: float) -> None:
    def cost(actions: Tensor) -> Tensor:
        return actions.sum(dim=(2, 3)).masked_fill(actions[:, :, 0, 0] > 0.5, bad)

    with pytest.raises(ValueError, match=r"^the cost of \d+ of 32 sequences of actions is not finite: .*\?$"):
        few().plan(cost, box, generators=episode_generators(0, 2), horizon=2)


def test_a_cost_of_another_shape_is_named(few: Any, box: Bounds) -> None:
    with pytest.raises(
        ValueError, match=r"^the cost of actions \[2, 16, 2, 2\] has the shape \[2, 16, 2\], not \[B, S\]"
    ):
        few().plan(lambda a: a.sum(dim=3), box, generators=episode_generators(0, 2), horizon=2)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"start": torch.zeros(3, 4, 2)}, r"start has the shape \[3, 4, 2\], not \[2, horizon, 2\]"),
        ({"start": torch.zeros(2, 4, 3)}, r"start has the shape \[2, 4, 3\], not \[2, horizon, 2\]"),
        ({"start": torch.zeros(2, 4, 2), "horizon": 3}, "start has 4 steps, and horizon=3"),
        ({"horizon": 0}, "2 episodes over a horizon of 0"),
        ({"generators": []}, "0 episodes over a horizon of"),
    ],
)
def test_what_does_not_fit_is_one_line(few: Any, box: Bounds, options: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        few().plan(nothing, box, **{"generators": episode_generators(0, 2), **options})


def test_a_planner_says_its_options() -> None:
    assert repr(CEM(horizon=7)) == "CEM(horizon=7, num_samples=300, num_elites=30, iterations=30, sigma=1.0, beta=0.0)"


def test_a_start_outside_of_the_bounds_is_taken_from_their_edge(box: Bounds) -> None:
    """Otherwise all samples around it would be clipped to one and the same edge."""
    seen: list[Tensor] = []

    def cost(actions: Tensor) -> Tensor:
        seen.append(actions)
        return actions.square().sum(dim=(2, 3))

    planner = CEM(2, num_samples=64, num_elites=8, iterations=1, sigma=0.1)
    planner.plan(cost, box, torch.full((1, 2, 2), 5.0), generators=episode_generators(0, 1))
    assert 0.3 < float((seen[0] < 1).float().mean()) < 0.7
    assert float(seen[0].max()) == 1.0
