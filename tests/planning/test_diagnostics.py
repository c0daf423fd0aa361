from typing import Any

import pytest
import torch

from jepa_lightning.planning import distance_curve, rollout_errors

UNIT = 16  # gray levels for one unit of length, as in the fake world


def frames_of(places: torch.Tensor) -> torch.Tensor:
    """Images uint8 ``[B, T, 4, 4, 1]`` of places ``[B, T, 2]``."""
    gray = (places * UNIT).round().to(torch.uint8)
    return gray[:, :, :, None, None].repeat_interleave(2, dim=2).expand(-1, -1, 4, 4, 1)


def test_errors_are_those_of_a_loop_over_windows(plane_model: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    actions = torch.randint(-8, 9, (3, 4, 2), generator=generator) / UNIT
    start = torch.randint(80, 160, (3, 1, 2), generator=generator) / UNIT
    places = torch.cat([start, start + actions.cumsum(dim=1)], dim=1)
    places[:, 1:] += torch.randint(-1, 2, (3, 4, 2), generator=generator) / UNIT  # which the model does not foresee
    found = rollout_errors(plane_model(), frames_of(places), actions, history=2)
    variance = places.reshape(-1, 2).var(dim=0, correction=0).mean()
    for name, given in (
        ("true", actions), ("shuffled", actions[[2, 0, 1]]), ("none", 0 * actions), ("still", 0 * actions),
    ):  # fmt: skip
        for step in range(3):
            squares = [
                (places[b, 1] + given[b, 1 : 2 + step].sum(dim=0) - places[b, 2 + step]).square().mean()
                for b in range(3)
            ]
            expected = torch.stack(squares).mean() / variance
            torch.testing.assert_close(getattr(found, name)[step], expected, msg=f"{name}, step {step}")
    assert bool((found.true < found.shuffled).all())


def test_past_actions_are_given_where_there_is_a_history(plane_model: Any) -> None:
    model, actions = plane_model(), torch.rand(2, 4, 2)
    rollout_errors(model, frames_of(torch.rand(2, 5, 2) * 8), actions, history=3)
    assert all(torch.equal(past, actions[:, :2]) for past in model.pasts)
    rollout_errors(model, frames_of(torch.rand(2, 5, 2) * 8), actions)
    assert model.pasts[-1] is None


def test_a_curve_has_bins_of_equal_numbers_and_the_rank_correlation() -> None:
    true = torch.tensor([5.0, 1.0, 3.0, 2.0, 4.0, 6.0])
    latent = torch.tensor([50.0, 10.0, 30.0, 20.0, 40.0, 0.0])
    curve = distance_curve(true, latent, bins=3)
    assert (curve.true.tolist(), curve.latent.tolist()) == ([1.5, 3.5, 5.5], [15.0, 35.0, 25.0])
    # ranks 1 to 6 against 2 to 6 and 1: 1 - 6 * (5 * 1 + 25) / (6 * 35)
    assert curve.rank_correlation == pytest.approx(1 - 180 / 210)


def test_too_little_to_measure_is_one_line(plane_model: Any) -> None:
    with pytest.raises(ValueError, match=r"^1 windows of 3 frames: 2, of more than 1, are needed"):
        rollout_errors(plane_model(), torch.zeros(1, 3, 4, 4, 1, dtype=torch.uint8), torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match=r"^2 windows of 3 frames: 2, of more than 3, are needed"):
        rollout_errors(plane_model(), torch.zeros(2, 3, 4, 4, 1, dtype=torch.uint8), torch.zeros(2, 2, 2), history=3)
    with pytest.raises(ValueError, match=r"^1 pairs have no curve"):
        distance_curve(torch.zeros(1), torch.zeros(1))
