"""What planning needs of a world model: states of frames, what follows them under actions, and the way there."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from jepa_lightning import WorldModel
from jepa_lightning.types import Batch

Build = Callable[..., Any]


def _rest(build: Any) -> dict[str, Any]:
    """Options that go with teacher forcing."""
    return {"rollout_steps": 8} if build.args[0] in ("gru", "mlp", "joined") else {}


def test_the_phase_of_predict_and_rollout_is_the_same(perfect_world: WorldModel, place_walk: Batch) -> None:
    batch = place_walk
    states, actions = perfect_world.encode(batch.views[0]), batch.extras["actions"]
    torch.testing.assert_close(perfect_world.predict(states[:, :3], actions[:, :3]), states[:, 3])
    torch.testing.assert_close(perfect_world.rollout(states[:, :1], actions), states[:, 1:])
    torch.testing.assert_close(perfect_world.rollout(states[:, 2:3], actions[:, 2:]), states[:, 3:])
    goal, rollout = states[:, -1], perfect_world.rollout(states[:, :1], actions)
    assert perfect_world.cost(rollout, goal, "last").max() < 1e-10
    each = (states[:, 1:] - goal[:, None]).square().mean(dim=-1)
    torch.testing.assert_close(perfect_world.cost(rollout, goal), each.sum(dim=1))


def test_what_comes_later_changes_no_prediction(every_world: Build, shaken_world: Build, world_batch: Build) -> None:
    model = shaken_world(prediction="teacher_forcing", **_rest(every_world))
    batch = world_batch(model)
    states, actions = model.encode(batch.views[0]), batch.extras["actions"]
    before = model.predictions(states, actions)
    for frame in range(4):
        changed = states.clone()
        changed[:, frame] += torch.randn_like(changed[:, frame])
        for given in ((changed, actions), (states, actions + (torch.arange(4) == frame)[:, None])):
            moved = (model.predictions(*given) - before).flatten(2).abs().amax(dim=(0, 2))
            assert (moved[:frame] == 0).all()
            assert moved[frame] > 1e-5


def test_a_rollout_of_one_step_is_teacher_forcing_and_predict(
    every_world: Build, shaken_world: Build, world_batch: Build
) -> None:
    model = shaken_world(prediction="teacher_forcing", **_rest(every_world))
    batch = world_batch(model)
    states, actions = model.encode(batch.views[0]), batch.extras["actions"]
    forced = model.predictions(states, actions)
    for frame in range(4):
        past = actions[:, :frame]
        step = model.rollout(states[:, : frame + 1], actions[:, frame : frame + 1], past)[:, 0]
        torch.testing.assert_close(step, forced[:, frame], rtol=1e-4, atol=1e-5)
        known = model.predict(states[:, : frame + 1], actions[:, : frame + 1])
        torch.testing.assert_close(known, forced[:, frame], rtol=1e-4, atol=1e-5)
    assert step.var() > 1e-3


@pytest.mark.parametrize("known", [1, 3])
@pytest.mark.parametrize("horizon", [1, 3, 9])
def test_a_cached_rollout_is_the_plain_one_and_that_of_single_steps(
    shaken_world: Build, world_batch: Build, known: int, horizon: int
) -> None:
    model = shaken_world().double()
    batch = world_batch(model, size=3)
    states = model.encode(batch.views[0].double())[:, :known].detach()
    past, actions = batch.extras["actions"][:, : known - 1].double(), torch.randn(3, horizon, 2).double()
    cached = model.rollout(states, actions, past)
    torch.testing.assert_close(cached, model.rollout(states, actions, past, cached=False), rtol=0, atol=1e-6)
    taken = past
    for step in range(horizon):
        taken = torch.cat([taken, actions[:, step : step + 1]], dim=1)
        following = model.predict(states, taken)
        torch.testing.assert_close(cached[:, step], following, rtol=0, atol=1e-6)
        states = torch.cat([states, following[:, None]], dim=1)


def test_a_history_beyond_what_a_prediction_depends_on_changes_nothing(shaken_world: Build, world_batch: Build) -> None:
    model = shaken_world(num_frames=9)
    batch = world_batch(model, size=2, frames=9)
    states, actions = model.encode(batch.views[0]), batch.extras["actions"]
    assert model.history == {"gru": 1, "mlp": 1, "adaln": 4, "tokens": 5}[model.predictor_name]
    whole = model.rollout(states, actions[:, -2:], actions)
    last = slice(-model.history, None)
    cut = model.rollout(states[:, last], actions[:, -2:], actions[:, 9 - model.history :])
    torch.testing.assert_close(whole, cut, rtol=1e-4, atol=1e-5)


def test_actions_are_given_in_their_own_units(tiny_world: Build) -> None:
    plain = tiny_world()
    scaled = tiny_world(action_mean=[10.0, 20.0], action_std=[2.0, 4.0])
    state, actions = torch.randn(3, 1, 24), torch.randn(3, 4, 2)
    own = actions * torch.tensor([2.0, 4.0]) + torch.tensor([10.0, 20.0])
    torch.testing.assert_close(plain.rollout(state, actions), scaled.rollout(state, own), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain.rollout(state, actions), scaled.rollout(state, actions))
