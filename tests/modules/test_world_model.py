"""The world model: its interface, its phase, and its recipes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from jepa_lightning import WorldModel
from jepa_lightning.energy import blind_energy, pairwise_energy
from jepa_lightning.losses import StateTerms
from jepa_lightning.optim import parameter_groups
from jepa_lightning.types import Batch

Build = Callable[..., Any]


@pytest.mark.parametrize("prediction", ["rollout", "teacher_forcing"])
def test_action_t_leads_from_frame_t_to_the_next_and_every_other_phase_fails(
    perfect_world: WorldModel, place_walk: Batch, prediction: str
) -> None:
    perfect_world.teacher_forcing = prediction == "teacher_forcing"
    batch = place_walk
    actions = batch.extras["actions"]
    assert perfect_world.energy(batch).max() < 1e-10
    assert perfect_world.objective(batch, 0.0).logs["prediction"] < 1e-10
    for shift in (-2, -1, 1, 2):
        shifted = batch._replace(extras={"actions": actions.roll(shift, 1)})
        assert perfect_world.energy(shifted).min() > 0.01
        assert perfect_world.objective(shifted, 0.0).logs["prediction"] > 0.1
    assert perfect_world.energy(batch._replace(extras={"actions": -actions})).min() > 0.1


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


@pytest.mark.parametrize("kind", ["gru", "adaln"])
def test_rollouts_from_every_frame_are_those_of_all_shorter_clips(
    tiny_world: Build, world_batch: Build, kind: str
) -> None:
    """The loss is the mean over all predictions, each a single step from what was predicted before or encoded."""
    options = {"prediction": "rollout", "rollout_steps": 2, "num_frames": 4, "rollout_from": "every"}
    model = tiny_world(kind, **options).eval()
    batch = world_batch(model)
    states, actions = model.encode(batch.views[0]), batch.extras["actions"]
    losses = []
    for start in range(3):
        known = list(states[:, : start + 1].unbind(1))
        for step in range(start, min(start + 2, 3)):
            known.append(model.predict(torch.stack(known, dim=1), actions[:, : step + 1]))
            losses.append(((known[-1] - states[:, step + 1]) ** 2).mean())
    assert len(losses) == 5
    torch.testing.assert_close(model.prediction_loss(states, actions), torch.stack(losses).mean())
    first = tiny_world(kind, **options | {"rollout_from": "first"}).eval()
    first.load_state_dict(model.state_dict())
    torch.testing.assert_close(first.prediction_loss(states, actions), torch.stack(losses[:2]).mean())


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
    assert frozen == model.hparams["freeze_encoder"]
    held = [p for group in parameter_groups(dict(model.named_children()), 0.0) for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters() if p.requires_grad}
    assert not list(model.named_parameters(recurse=False))


def test_a_frozen_encoder_stays_in_eval_mode_and_has_no_terms(tiny_world: Build) -> None:
    model = tiny_world("tokens").train()
    assert not model.encoder.training
    assert model.predictor.training
    assert model.terms is None
    assert not list(model.state_head.parameters())  # they could make all states alike


def test_every_pair_has_an_energy_which_other_samples_do_not_change(shaken_world: Build, world_batch: Build) -> None:
    model = shaken_world()
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


@pytest.mark.parametrize("size", [1, 7])
def test_actions_may_be_of_any_size_and_images_too(tiny_world: Build, size: int) -> None:
    model = tiny_world(action_size=size, image_size=(9, 14), in_channels=3)
    batch = Batch([torch.randn(4, 3, 5, 9, 14)], extras={"actions": torch.randn(4, 4, size)})
    assert model.objective(batch, 0.0).loss.isfinite()
    assert model.rollout(model.encode(batch.views[0])[:, :1], batch.extras["actions"]).shape == (4, 4, 24)


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
