"""What V-JEPA computes from a batch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning import VJEPA
from jepa_lightning.losses import VarianceCovariance
from jepa_lightning.types import Masks

Build = Callable[..., Any]
KINDS = [
    {}, {"rope": True}, {"rope": True, "rope_style": "vjepa2", "causal_frames": (1, 3)}, {"num_frames": 1},
    {"num_frames": 1, "rope": True}, {"gradient_checkpointing": True}, {"target_layers": 2},
]  # fmt: skip


def disturbed(model: VJEPA) -> VJEPA:
    """Networks and mask tokens start equal, so that a swap of them would not show, and targets with variance 1."""
    with torch.no_grad():
        for parameter in [*model.target_encoder.parameters(), *model.predictor.mask_tokens]:
            parameter.add_(0.05 * torch.randn_like(parameter))
        for parameter in model.target_encoder.norm.parameters():
            parameter.mul_(0.01)
    return model.eval()


def slow_distances(model: VJEPA, view: Tensor, other: Tensor, masks: Masks, kind: int, p: float, norm: bool) -> Tensor:
    """Of the prediction from each clip to the targets of the other, ``[B]``; a clip at a time."""
    network, each = model.predictor, []
    places = network.predictor_pos_embed[0]
    for clip, shown, context, target in zip(view, other, masks.context, masks.target[:, 0], strict=True):
        tokens = model.target_encoder(shown[None])[0]
        if norm:
            tokens = tokens - tokens.mean(dim=1, keepdim=True)
            tokens = tokens / (tokens.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        known = network.predictor_embed(model.context_encoder(clip[None], keep=context[None])[0])
        wanted = network.mask_tokens[kind][0].expand(len(target), -1)
        row = torch.cat([known + places[context], wanted + places[target]])[None]
        for block in network.predictor_blocks:
            row = block(row)
        predicted = network.predictor_proj(network.predictor_norm(row))[0, len(context) :]
        each.append(((predicted - tokens[target]).abs() ** p / p).mean())
    return torch.stack(each)


@pytest.mark.parametrize(
    ("p", "options"),
    [(1.0, {}), (2.0, {"causal_frames": (1, 3)}), (1.5, {"normalize_targets": False}), (1.0, {"num_frames": 1})],
)
def test_objective_and_energy_equal_slow_independent_ones(
    tiny_vjepa: Build, clips_of: Build, p: float, options: dict[str, Any]
) -> None:
    model = disturbed(tiny_vjepa(loss_exponent=p, **options))
    batch, norm = clips_of(model, size=4), options.get("normalize_targets", True)
    (view,) = batch.views

    def distances(other: Tensor) -> Tensor:
        kinds = [slow_distances(model, view, other, masks, i, p, norm) for i, masks in enumerate(batch.masks)]
        return torch.stack(kinds)

    output, expected = model.objective(batch, 0.0), distances(view)
    assert len({masks.target.shape[2] for masks in batch.masks}) > 1  # else a mean over tokens would be the same
    assert expected.shape == (model.num_kinds, 4)
    torch.testing.assert_close(output.loss, expected.mean(), atol=1e-5, rtol=1e-5)
    for kind, each in enumerate(expected):
        torch.testing.assert_close(output.logs[f"prediction_loss_{kind}"], each.mean(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.energy(batch), expected.mean(dim=0), atol=1e-5, rtol=1e-5)
    crossed = batch._replace(views=[view, view.roll(1, 0)])
    torch.testing.assert_close(model.energy(crossed), distances(view.roll(1, 0)).mean(dim=0), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", KINDS)
def test_gradient_reaches_both_networks_and_every_mask_token_and_never_the_target(
    tiny_vjepa: Build, clips_of: Build, options: dict[str, Any]
) -> None:
    model = tiny_vjepa(**options)
    output = model.objective(clips_of(model), 0.0)
    output.loss.backward()
    for name, parameter in [*model.context_encoder.named_parameters(), *model.predictor.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    assert all(p.grad is None and not p.requires_grad for p in model.target_encoder.parameters())
    assert not any(value.requires_grad for value in output.logs.values())


def test_target_encoder_runs_once_a_step_and_context_encoder_once_for_each_kind(
    tiny_vjepa: Build, clips_of: Build
) -> None:
    model = tiny_vjepa(causal_frames=(1, 3), content=0.1)
    batch, calls = clips_of(model), []

    def count(network: nn.Module, inputs: Any, output: Any) -> None:
        calls.append(network)

    networks = (model.target_encoder, model.context_encoder, model.predictor)
    for network in networks:
        network.register_forward_hook(count)
    for step in (lambda: model.objective(batch, 0.0).loss.backward(), lambda: model.energy(batch)):
        calls.clear()
        step()
        assert [calls.count(network) for network in networks] == [1, 3, 3]


@pytest.mark.parametrize("options", KINDS)
def test_features_are_a_by_product_and_clips_do_not_see_each_other(
    tiny_vjepa: Build, clips_of: Build, options: dict[str, Any]
) -> None:
    model = disturbed(tiny_vjepa(**options))
    batch = clips_of(model)
    features = model.objective(batch, 0.0).features
    assert not features.requires_grad
    torch.testing.assert_close(features, model(batch.views[0]))
    before = model.energy(batch)
    assert before.shape == (8,)
    batch.views[0][0] = 0
    after = model.energy(batch)
    torch.testing.assert_close(before[1:], after[1:])
    assert not torch.allclose(before[0], after[0], rtol=1e-3)


def test_content_term_of_several_kinds_equals_a_slow_one(tiny_vjepa: Build, clips_of: Build) -> None:
    model = tiny_vjepa(content=0.5, variance=3.0, covariance=0.2, causal_frames=(2, 2)).eval()
    batch, terms = clips_of(model, size=4), []
    for masks in batch.masks:
        context = model.context_encoder(batch.views[0], keep=masks.context)
        content = context.clone()
        for place in masks.context.unique():
            content[masks.context == place] -= context[masks.context == place].mean(dim=0)
        terms.append(0.5 * VarianceCovariance(3, 0.2)(content.flatten(0, 1)))
    output = model.objective(batch, 0.0)
    torch.testing.assert_close(output.logs["content_regularizer"], sum(terms) / 3, atol=1e-5, rtol=1e-5)
    predictions = [output.logs[f"prediction_loss_{kind}"] for kind in range(3)]
    torch.testing.assert_close(output.loss, sum(predictions) / 3 + sum(terms) / 3, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("error")
def test_a_batch_of_one_clip_logs_no_standard_deviation(tiny_vjepa: Build, clips_of: Build) -> None:
    model = tiny_vjepa()
    assert "target_std" not in model.objective(clips_of(model, size=1), 0.0).logs
    assert model.objective(clips_of(model, size=2), 0.0).logs["target_std"] > 0
