import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import CEM, MPPI, Bounds, Planner, episode_generators
from jepa_lightning.planning.colored_noise import colored


@pytest.mark.parametrize("steps", [1, 2, 5, 16])
@pytest.mark.parametrize("beta", [0.0, 2.0])
def test_the_noise_has_variance_1_at_each_step(steps: int, beta: float) -> None:
    torch.manual_seed(0)
    noise = colored(torch.randn(40_000, steps // 2 + 1, 2), steps, beta)
    assert noise.shape == (40_000, steps)
    torch.testing.assert_close(noise.var(dim=0), torch.ones(steps), atol=0.04, rtol=0)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_its_power_falls_as_asked(beta: float) -> None:
    torch.manual_seed(0)
    noise = colored(torch.randn(20_000, 33, 2), 64, beta).numpy()
    power = (np.abs(np.fft.rfft(noise)) ** 2).mean(axis=0)[1:]
    slope = np.polyfit(np.log(np.fft.rfftfreq(64)[1:]), np.log(power), 1)[0]
    assert abs(slope + beta) < 0.02


@pytest.mark.parametrize("cls", [CEM, MPPI])
def test_samples_that_keep_their_direction_come_farther(cls: type[Planner]) -> None:
    bounds = Bounds(-torch.ones(2), torch.ones(2))
    reached: dict[float, float] = {}
    for beta in (0.0, 2.0):
        farthest = 0.0

        def cost(actions: Tensor) -> Tensor:
            nonlocal farthest
            farthest = max(farthest, float(actions.sum(dim=2).norm(dim=-1).max()))
            return torch.zeros(actions.shape[:2])

        planner = cls(horizon=40, num_samples=64, num_elites=8, iterations=1, sigma=0.5, beta=beta)  # type: ignore[call-arg]
        planner.plan(cost, bounds, generators=episode_generators(0, 4))
        reached[beta] = farthest
    assert reached[2.0] > 2 * reached[0.0]
