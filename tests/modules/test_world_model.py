"""The world model: its interface, its phase, and its recipes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning import WorldModel
from jepa_lightning.energy import blind_energy, pairwise_energy
from jepa_lightning.losses import StateTerms
from jepa_lightning.optim import parameter_groups
from jepa_lightning.types import Batch

Build = Callable[..., Any]


def shaken(model: WorldModel) -> WorldModel:
    """In eval mode, away from the start, at which blocks are the identity."""
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model.eval()


class Place(nn.Module):
    """An encoder that knows the place of the square: the values of the first pixels of each channel."""

    width, grid_size = 2, (1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x[:, :, 0, 0][:, None]


class Adds(nn.Module):
    """A predictor that knows the dynamics: the action is the step."""

    reach = 1

    def memory(self, frames: int) -> None:
        return None

    def forward(self, states: Tensor, actions: Tensor, memory: None = None) -> Tensor:
        return states + actions


@pytest.fixture
def perfect() -> WorldModel:
    """A world model whose states are positions, without a head, which knows the dynamics."""

    class Perfect(WorldModel):
        def build_head(self) -> nn.Module:
            return nn.Identity()

        def build_predictor(self) -> nn.Module:
            return Adds()

    return Perfect(Place(), num_frames=6, image_size=4, rollout_steps=5)


def walk(frames: int = 6) -> Batch:
    """Positions as pixels, and the steps between them."""
    torch.manual_seed(0)
    positions = torch.randn(8, frames, 2).cumsum(dim=1)
    clip = positions.transpose(1, 2)[..., None, None].expand(-1, -1, -1, 4, 4)
    return Batch([clip], extras={"actions": positions.diff(dim=1)})


@pytest.mark.parametrize("prediction", ["rollout", "teacher_forcing"])
def test_action_t_leads_from_frame_t_to_the_next_and_every_other_phase_fails(
    perfect: WorldModel, prediction: str
) -> None:
    perfect.teacher_forcing = prediction == "teacher_forcing"
    batch = walk()
    actions = batch.extras["actions"]
    assert perfect.energy(batch).max() < 1e-10
    assert perfect.objective(batch, 0.0).logs["prediction"] < 1e-10
    for shift in (-2, -1, 1, 2):
        shifted = batch._replace(extras={"actions": actions.roll(shift, 1)})
        assert perfect.energy(shifted).min() > 0.01
        assert perfect.objective(shifted, 0.0).logs["prediction"] > 0.1
    assert perfect.energy(batch._replace(extras={"actions": -actions})).min() > 0.1


def test_the_phase_of_predict_and_rollout_is_the_same(perfect: WorldModel) -> None:
    batch = walk()
    states, actions = perfect.encode(batch.views[0]), batch.extras["actions"]
    torch.testing.assert_close(perfect.predict(states[:, :3], actions[:, :3]), states[:, 3])
    torch.testing.assert_close(perfect.rollout(states[:, :1], actions), states[:, 1:])
    torch.testing.assert_close(perfect.rollout(states[:, 2:3], actions[:, 2:]), states[:, 3:])
    goal, rollout = states[:, -1], perfect.rollout(states[:, :1], actions)
    assert perfect.cost(rollout, goal, "last").max() < 1e-10
    each = (states[:, 1:] - goal[:, None]).square().mean(dim=-1)
    torch.testing.assert_close(perfect.cost(rollout, goal), each.sum(dim=1))


def test_states_are_of_each_frame_alone_and_features_are_their_mean(every_world: Build, world_batch: Build) -> None:
    model = shaken(every_world())
    (clip,) = world_batch(model).views
    states = model.encode(clip)
    assert states.shape == ((16, 5, 16, 24) if model.predictor_name == "tokens" else (16, 5, 24))
    for frame in range(5):
        torch.testing.assert_close(model.encode(clip[:, :, frame : frame + 1])[:, 0], states[:, frame])
    torch.testing.assert_close(model(clip), states.flatten(1, -2).mean(dim=1))
    torch.testing.assert_close(model(clip, pool=False), states.flatten(1, -2))
    torch.testing.assert_close(model(clip[:, :, 0]), model(clip[:, :, :1]))


def test_what_comes_later_changes_no_prediction(every_world: Build, world_batch: Build) -> None:
    model = shaken(every_world(prediction="teacher_forcing", **_rest(every_world)))
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


def _rest(build: Any) -> dict[str, Any]:
    """Options that go with teacher forcing."""
    return {"rollout_steps": 8} if build.args[0] in ("gru", "mlp") else {}


def test_a_rollout_of_one_step_is_teacher_forcing_and_predict(every_world: Build, world_batch: Build) -> None:
    model = shaken(every_world(prediction="teacher_forcing", **_rest(every_world)))
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
    every_world: Build, world_batch: Build, known: int, horizon: int
) -> None:
    model = shaken(every_world()).double()
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


def test_a_history_beyond_what_a_prediction_depends_on_changes_nothing(every_world: Build, world_batch: Build) -> None:
    model = shaken(every_world(num_frames=9))
    batch = world_batch(model, size=2, frames=9)
    states, actions = model.encode(batch.views[0]), batch.extras["actions"]
    assert model.history == {"gru": 1, "mlp": 1, "adaln": 4, "tokens": 5}[model.predictor_name]
    whole = model.rollout(states, actions[:, -2:], actions)
    last = slice(-model.history, None)
    cut = model.rollout(states[:, last], actions[:, -2:], actions[:, 9 - model.history :])
    torch.testing.assert_close(whole, cut, rtol=1e-4, atol=1e-5)


def test_the_loss_is_that_of_a_rollout_written_out(tiny_world: Build, world_batch: Build) -> None:
    model = tiny_world(action_mean=[0.5, 0.0], action_std=[2.0, 3.0])
    batch = world_batch(model)
    frames = batch.views[0].transpose(1, 2)
    states = model.state_head(model.encoder(frames.flatten(0, 1))[:, 0]).unflatten(0, (16, 5))
    actions = (batch.extras["actions"] - torch.tensor([0.5, 0.0])) / torch.tensor([2.0, 3.0])
    state, errors = states[:, 0], []
    for step in range(3):
        state = model.state_head(model.predictor.cell(actions[:, step], state))  # the same norm
        errors.append((state - states[:, step + 1]).square().mean())
    prediction = torch.stack(errors).mean()
    pairs = torch.cat([states[:, :-1], states[:, 1:]], dim=-1)
    inverse = F.mse_loss(model.terms.inverse_network(pairs.flatten(0, 1)), actions.flatten(0, 1))
    pooled = StateTerms(16.0, 8.0, 12.0)(states, actions)
    output = model.objective(batch, 0.0)
    torch.testing.assert_close(output.loss, prediction + sum(pooled.values()) + inverse)
    assert list(output.logs) == ["prediction", "variance", "covariance", "similarity", "inverse"]
    torch.testing.assert_close(model.energy(batch).mean(), prediction)


def test_lewm_has_a_projector_behind_encoder_and_predictor(tiny_world: Build, world_batch: Build) -> None:
    model = tiny_world("adaln")
    batch = world_batch(model)
    tokens = model.encoder(batch.views[0].transpose(1, 2).flatten(0, 1))
    states = model.state_head(tokens[:, 0]).unflatten(0, (16, 5))
    following = model.predictor(states[:, :-1], batch.extras["actions"])
    predicted = model.predictor_head(following.flatten(0, 1)).unflatten(0, (16, 4))
    output = model.objective(batch, 0.0)
    torch.testing.assert_close(output.logs["prediction"], (predicted - states[:, 1:]).square().mean())
    assert [type(layer).__name__ for layer in model.state_head] == ["Linear", "BatchNorm1d", "GELU", "Linear"]
    assert not {*model.state_head.parameters()} & {*model.predictor_head.parameters()}
    assert list(output.logs) == ["prediction", "sigreg"]


@pytest.mark.parametrize("detached", [True, False])
def test_targets_have_a_gradient_unless_they_are_detached(tiny_world: Build, detached: bool) -> None:
    weights = dict.fromkeys(("variance", "covariance", "similarity", "inverse"), 0.0)
    model = tiny_world(detach_target=detached, **weights)
    clip = torch.randn(4, 2, 5, 16, 16, requires_grad=True)
    model.objective(Batch([clip], extras={"actions": torch.randn(4, 4, 2)}), 0.0).loss.backward()
    reached = clip.grad.abs().amax(dim=(0, 1, 3, 4)) > 0
    assert reached.tolist() == [True, *[not detached] * 3, False]


@pytest.mark.parametrize("gradient", [True, False])
def test_gradients_go_through_a_rollout_by_option(tiny_world: Build, gradient: bool) -> None:
    model = tiny_world(rollout_gradient=gradient)
    state, actions = torch.randn(4, 1, 24), torch.randn(4, 3, 2, requires_grad=True)
    model.rollout(state, actions)[:, -1].sum().backward()
    assert (actions.grad.abs().amax(dim=(0, 2)) > 0).tolist() == [gradient, gradient, True]


def test_gradient_reaches_all_that_trains(every_world: Build, world_batch: Build) -> None:
    model = every_world()
    model.objective(world_batch(model), 0.0).loss.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    frozen = all(not parameter.requires_grad for parameter in model.encoder.parameters())
    assert frozen == (model.predictor_name == "tokens")
    held = [p for group in parameter_groups(dict(model.named_children()), 0.0) for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters() if p.requires_grad}
    assert not list(model.named_parameters(recurse=False))


def test_a_frozen_encoder_stays_in_eval_mode_and_has_no_terms(tiny_world: Build) -> None:
    model = tiny_world("tokens").train()
    assert not model.encoder.training
    assert model.predictor.training
    assert model.terms is None
    assert not list(model.state_head.parameters())  # they could make all states alike


def test_every_pair_has_an_energy_which_other_samples_do_not_change(every_world: Build, world_batch: Build) -> None:
    model = shaken(every_world())
    batch = world_batch(model)
    energies = model.energy(batch)
    assert energies.shape == (16,)
    torch.testing.assert_close(model.energy(batch.take(3)), energies[:3])
    every = pairwise_energy(model, batch)
    torch.testing.assert_close(every.diagonal(), energies)
    view = batch.views[0]
    rolled = model.energy(batch._replace(views=[view, view.roll(1, 0)]))
    torch.testing.assert_close(every.roll(1, 1).diagonal(), rolled)
    assert blind_energy(model, batch).shape == (16,)


def test_actions_are_given_in_their_own_units(tiny_world: Build) -> None:
    plain = tiny_world()
    scaled = tiny_world(action_mean=[10.0, 20.0], action_std=[2.0, 4.0])
    state, actions = torch.randn(3, 1, 24), torch.randn(3, 4, 2)
    own = actions * torch.tensor([2.0, 4.0]) + torch.tensor([10.0, 20.0])
    torch.testing.assert_close(plain.rollout(state, actions), scaled.rollout(state, own), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(plain.rollout(state, actions), scaled.rollout(state, actions))


def test_statistics_of_actions_come_from_the_data_unless_they_are_given(tiny_world: Build) -> None:
    model = tiny_world()
    model.take_actions(2, (1.0, 2.0), (3.0, 4.0))
    assert (model.actions.mean.tolist(), model.actions.std.tolist()) == ([1, 2], [3, 4])
    assert model.hparams["action_mean"] == [1.0, 2.0]
    again = WorldModel(**model.hparams)
    assert again.actions.std.tolist() == [3, 4]
    own = tiny_world(action_mean=[0.0, 0.0], action_std=[1.0, 1.0])
    own.take_actions(2, (1.0, 2.0), (3.0, 4.0))
    assert own.actions.std.tolist() == [1, 1]
    assert (model.frame_skip, own.frame_skip) == (1, 1)


def test_the_frame_skip_comes_from_the_data_and_is_saved(tiny_world: Build) -> None:
    model = tiny_world()
    assert model.frame_skip is None
    model.take_actions(2, (0.0, 0.0), (1.0, 1.0), frame_skip=5)
    assert WorldModel(**model.hparams).frame_skip == model.frame_skip == 5
    own = tiny_world(frame_skip=3)
    own.take_actions(2, (0.0, 0.0), (1.0, 1.0), frame_skip=5)
    assert own.frame_skip == 3


def test_actions_of_another_size_than_the_module_takes_are_refused(tiny_world: Build) -> None:
    model = tiny_world()
    with pytest.raises(ValueError, match=r"actions of 3 numbers, and WorldModel has action_size=2: .*action_size 3"):
        model.take_actions(3, (0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize("size", [1, 7])
def test_actions_may_be_of_any_size_and_images_too(tiny_world: Build, size: int) -> None:
    model = tiny_world(action_size=size, image_size=(9, 14), in_channels=3)
    batch = Batch([torch.randn(4, 3, 5, 9, 14)], extras={"actions": torch.randn(4, 4, size)})
    assert model.objective(batch, 0.0).loss.isfinite()
    assert model.rollout(model.encode(batch.views[0])[:, :1], batch.extras["actions"]).shape == (4, 4, 24)


def test_frames_of_environments_are_those_of_the_pipeline(
    tiny_world: Build, trajectories: Build, world_batch: Build
) -> None:
    model = tiny_world(mean=[0.1, 0.2], std=[0.3, 0.4])
    frames = torch.stack([sample.media for sample in trajectories(size=3)])  # [B, T, C, H, W]
    (clip,) = world_batch(model, size=3).views
    for given in (frames.movedim(2, -1), np.asarray(frames.movedim(2, -1))):
        torch.testing.assert_close(model.clip(given), clip)
    torch.testing.assert_close(clip[:, 0], (frames[:, :, 0].float() / 255 - 0.1) / 0.3)
    with pytest.raises(ValueError, match=r"frames are \[B, T, H, W, C\], got \[3, 16, 16, 2\]"):
        model.clip(frames[:, 0].movedim(1, -1))


def test_longer_trajectories_are_cut_with_their_actions(tiny_world: Build, trajectories: Build) -> None:
    model = tiny_world()
    pipeline, samples = model.pipeline(), trajectories(size=4, frames=9)
    torch.manual_seed(0)
    for transform in (pipeline.transform, pipeline.eval_transform):
        batch = pipeline.collate([transform(sample) for sample in samples])
        assert batch.views[0].shape == (4, 2, 5, 16, 16)
        torch.testing.assert_close(batch.extras["states"].diff(dim=1), batch.extras["actions"])


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"predictor": "tokens"}, "impala gives one vector a frame"),
    ({"history": 2}, "history=2 has no effect, since predictor is gru"),
    ({"predictor": "adaln", "predictor_dim": 8}, "predictor_dim=8 has no effect, since predictor is adaln"),
    ({"prediction": "teacher_forcing"}, "rollout_steps=3 has no effect, since prediction is teacher_forcing"),
    ({"freeze_encoder": True, "variance": 2.0}, "variance=2.0 has no effect, since the encoder is frozen"),
    ({"num_directions": 8}, "num_directions=8 has no effect, since sigreg is 0"),
    ({"patch_size": 4}, "patch_size=4 has no effect, since encoder is impala"),
    ({"depth": 2}, "depth cannot be set for impala"),
    ({"num_frames": 3}, "clips have 3 frames, and rollout_steps=3 needs 4"),
    ({"action_mean": [0.0]}, "action_mean has 1 numbers, and action_size is 2"),
    ({"rollout_steps": 0}, r"rollout_steps=0 is out of range"),
    ({"encoder": "vit_small", "pool": "class", "predictor": "gru", "width": 20}, "multiple of heads"),
    ({"encoder": "timm:resnet18", "width": None, "pool": "class"}, "resnet18 has no class token"),
]


@pytest.mark.parametrize(("options", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_options_that_do_not_fit_are_refused(tiny_world: Build, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_world(**options)


def test_bad_input_is_refused_in_one_line(tiny_world: Build, world_batch: Build) -> None:
    model = tiny_world()
    batch = world_batch(model)
    states = model.encode(batch.views[0])
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: model.energy(batch._replace(extras={})), "no extras..actions.*: use a DataModule of trajectories"),
        (lambda: model.energy(batch._replace(views=[batch.views[0][:, :, 0]])), "takes clips"),
        (lambda: model.energy(batch._replace(extras={"actions": torch.zeros(16, 5, 2)})), "one action from each frame"),
        (lambda: model.energy(batch._replace(extras={"actions": torch.zeros(16, 4, 3)})), "actions have 3 numbers"),
        (lambda: model.objective(batch._replace(views=batch.views * 2), 0.0), "takes one view of a clip, got 2"),
        (lambda: model.rollout(states[:, :1], torch.zeros(16, 0, 2)), "a horizon of at least 1"),
        (lambda: model.cost(states, states[:1, 0]), "a goal of shape .* does not fit"),
        (lambda: model.cost(states, states[:, 0], "mean"), "there is no reduce 'mean'"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message) as error:
            call()
        assert "\n" not in str(error.value)
    short = Batch([batch.views[0][:, :, :3]], extras={"actions": torch.zeros(16, 2, 2)})
    with pytest.raises(ValueError, match="clips have 3 frames, and rollout_steps=3 needs 4"):
        model.objective(short, 0.0)
    with pytest.raises(ValueError, match="needs the 2 actions between them: give past_actions"):
        tiny_world("adaln").eval().rollout(torch.zeros(2, 3, 24), torch.zeros(2, 1, 2))
