import torch
from torch import Tensor

from jepa_lightning.planning import CEM, Bounds, episode_generators


def test_it_is_the_plain_method_step_by_step(box: Bounds) -> None:
    """One episode in a loop with numpy's order of things, from the same random numbers."""
    goal = torch.tensor([[0.2, -0.1], [0.4, 0.3]])

    def cost(actions: Tensor) -> Tensor:
        return (actions - goal).abs().sum(dim=(-2, -1))

    plan = CEM(horizon=2, num_samples=20, num_elites=4, iterations=3, sigma=0.5).plan(
        cost, box, generators=episode_generators(5, 1)
    )
    (generator,) = episode_generators(5, 1)
    mean, std = torch.zeros(2, 2), torch.full((2, 2), 0.5)
    for _ in range(3):
        noise = torch.randn(20, 2, 2, generator=generator)
        samples = [mean if i == 0 else (mean + std * noise[i]).clamp(-1, 1) for i in range(20)]
        best = sorted(samples, key=lambda sample: float(cost(sample)))[:4]
        mean = sum(best) / 4
        std = (sum((sample - mean) ** 2 for sample in best) / 4) ** 0.5
    torch.testing.assert_close(plan.actions[0], mean)
    torch.testing.assert_close(plan.cost[0], cost(mean))
