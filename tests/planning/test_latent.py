from typing import Any

import pytest
import torch

from jepa_lightning.planning import LatentCost


@pytest.mark.parametrize("reduce", ["sum", "last"])
@pytest.mark.parametrize("at_once", [1, 5, 4096])
def test_each_sequence_is_judged_from_its_own_start_to_its_own_goal(
    plane_model: Any, reduce: Any, at_once: int
) -> None:
    torch.manual_seed(0)
    history, goals, actions = torch.randn(3, 1, 2), torch.randn(3, 2), torch.randn(3, 4, 5, 2)
    cost = LatentCost(plane_model(), history, torch.zeros(3, 0, 2), goals, reduce, rollouts_at_once=at_once)
    found = cost(actions)
    for episode in range(3):
        for sample in range(4):
            place, distances = history[episode, 0].clone(), []
            for action in actions[episode, sample]:
                place += action
                distances.append(float((place - goals[episode]).square().mean()))
            expected = sum(distances) if reduce == "sum" else distances[-1]
            assert float(found[episode, sample]) == pytest.approx(expected, rel=1e-5)


def test_actions_of_the_environment_are_put_together_where_the_model_skips_frames(plane_model: Any) -> None:
    model = plane_model(skip=2)
    past = torch.arange(12.0).reshape(1, 3, 4)
    cost = LatentCost(model, torch.zeros(1, 4, 2), past, torch.tensor([[3.0, 3.0]]), "last", frame_skip=2)
    actions = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])
    assert float(cost(actions[None, None])) == 0.0
    assert torch.equal(model.pasts[0], past)
