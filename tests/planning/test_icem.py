import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import ICEM, Bounds, episode_generators


def test_kept_elites_are_judged_again_and_the_best_sample_is_the_plan(box: Bounds) -> None:
    judged: list[Tensor] = []

    def cost(actions: Tensor) -> Tensor:
        judged.append(actions)
        return (actions - 0.3).square().sum(dim=(2, 3))

    plan = ICEM(3, 20, 5, 3, num_kept=2).plan(cost, box, generators=episode_generators(0, 2))
    costs = [(actions - 0.3).square().sum(dim=(2, 3)) for actions in judged]
    for before, after in ((0, 1), (1, 2)):
        best = costs[before].topk(2, largest=False).indices
        for episode in range(2):
            assert torch.equal(judged[after][episode, -2:], judged[before][episode, best[episode]])
    torch.testing.assert_close(plan.cost, torch.cat(costs, dim=1).amin(dim=1))


def test_mean_and_deviation_move_in_part(box: Bounds) -> None:
    still, judged = torch.zeros(1, 3, 2), []

    def cost(actions: Tensor) -> Tensor:
        judged.append(actions)
        return (actions - 0.3).square().sum(dim=(2, 3))

    ICEM(3, 20, 5, 2, momentum=0.25, num_kept=0).plan(cost, box, still, generators=episode_generators(0, 1))
    best = judged[0][0, cost(judged[0])[0].topk(5, largest=False).indices]
    torch.testing.assert_close(judged[1][0, 0], 0.75 * best.mean(dim=0))


def test_more_kept_than_there_are_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^ICEM: num_kept=7 has to be at most num_elites=6 and below num_samples=8\.$"
    ):
        ICEM(num_samples=8, num_elites=6, num_kept=7)
