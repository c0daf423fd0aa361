import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.types import Batch

Build = Callable[..., Any]


@pytest.fixture
def moco(tiny_method: Build) -> Build:
    """One whose target differs from its online network, else a swap of them would not show."""

    def build(version: str, **options: Any) -> Any:
        model = tiny_method(f"MoCo {version}", **options)
        with torch.no_grad():
            for _, target in model.ema_pairs():
                for parameter in target.parameters():
                    parameter.add_(0.05 * torch.randn_like(parameter))
        return model

    return build


def directions(head: Any, encoder: Any, view: Tensor) -> Tensor:
    with torch.no_grad():
        return F.normalize(head(encoder(view).mean(dim=1)), dim=1).double()


def own_among(logits: list[Tensor], own: int) -> Tensor:
    """Cross-entropy of one of the logits."""
    return torch.logsumexp(torch.stack(logits), dim=0) - logits[own]


def test_the_heads_of_version_3_are_the_papers_for_the_encoder(tiny_method: Build, views_of: Build) -> None:
    def layers(head: nn.Module) -> list[str]:
        return [type(layer).__name__ for layer in head]  # type: ignore[attr-defined]

    inner = ["Linear", "BatchNorm1d", "ReLU"]
    last = ["Linear", "BatchNorm1d"]
    model = tiny_method("MoCo v3")
    assert layers(model.projector) == [*inner, *inner, *last]
    assert layers(model.predictor) == [*inner, *last]
    resnet = {"encoder": "resnet18", "width": None, "depth": None, "heads": None, "patch_size": 16}
    model = tiny_method("MoCo v3", **resnet)
    assert layers(model.projector) == layers(model.target_projector) == [*inner, *last]
    assert layers(model.predictor) == [*inner, "Linear"]
    assert model.objective(views_of(model, size=4), 0.0).loss.isfinite()


@pytest.mark.parametrize("temperature", [0.2, 0.07])
def test_version_2_compares_with_the_own_key_and_the_queue(moco: Build, views_of: Build, temperature: float) -> None:
    model = moco("v2", temperature=temperature)
    batch = views_of(model, size=6)
    query = directions(model.projector, model.encoder, batch.views[0])
    key = directions(model.target_projector, model.target_encoder, batch.views[1])
    queue = model.queue.keys.clone().double()
    assert queue.shape == (32, 32)
    losses = [
        own_among([query[i] @ key[i] / temperature, *(query[i] @ other / temperature for other in queue)], 0)
        for i in range(6)
    ]
    loss = model.objective(batch, 0.0).loss
    torch.testing.assert_close(loss.double(), torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)


def test_the_queue_takes_normalized_keys_in_order_and_in_train_mode_alone(moco: Build, views_of: Build) -> None:
    model = moco("v2")
    batches = [views_of(model, size=12, seed=i) for i in range(3)]
    start = model.queue.keys.clone()
    model.eval().objective(batches[0], 0.0)
    model.energy(batches[0])
    assert torch.equal(model.queue.keys, start)
    model.train()
    keys = [directions(model.target_projector, model.target_encoder, batch.views[1]).float() for batch in batches]
    for batch in batches[:2]:
        model.objective(batch, 0.0)
    torch.testing.assert_close(model.queue.keys[:24], torch.cat(keys[:2]))
    assert torch.equal(model.queue.keys[24:], start[24:])
    model.objective(batches[2], 0.0)  # the last 4 of 36 keys stand where the first were
    torch.testing.assert_close(model.queue.keys, torch.cat([keys[2][8:], keys[0][4:], keys[1], keys[2][:8]]))
    torch.testing.assert_close(model.queue.keys.norm(dim=1), torch.ones(32))


def test_keys_of_a_step_are_not_their_own_negatives(moco: Build, views_of: Build) -> None:
    model = moco("v2")
    batch = views_of(model)
    evaluated = copy.deepcopy(model).eval().objective(batch, 0.0).loss
    torch.testing.assert_close(model.objective(batch, 0.0).loss, evaluated)


def test_version_3_goes_both_ways_within_the_batch(moco: Build, views_of: Build) -> None:
    model = moco("v3", temperature=0.3)
    batch = views_of(model, size=6)
    online = torch.nn.Sequential(model.projector, model.predictor)
    losses = []
    for query_view, key_view in (batch.views, batch.views[::-1]):
        query = directions(online, model.encoder, query_view)
        keys = directions(model.target_projector, model.target_encoder, key_view)
        each = [own_among([query[i] @ key / 0.3 for key in keys], i) for i in range(6)]
        losses.append(torch.stack(each).mean())
    loss, swapped = (model.objective(Batch(views), 0.0).loss for views in (batch.views, batch.views[::-1]))
    expected = 2 * 0.3 * (losses[0] + losses[1])  # the factor 2 tau of algorithm 1
    torch.testing.assert_close(loss.double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss, swapped)
    assert not hasattr(model, "queue")


def test_energy_is_2_minus_2_cos_of_query_and_key(moco: Build, views_of: Build) -> None:
    for version in ("v2", "v3"):
        model = moco(version).eval()
        first, second = views_of(model, size=4).views
        query = directions(torch.nn.Sequential(model.projector, model.predictor), model.encoder, first)
        key = directions(model.target_projector, model.target_encoder, second)
        expected = 2 - 2 * (query * key).sum(dim=1)
        torch.testing.assert_close(model.energy(Batch([first, second])).double(), expected, atol=1e-5, rtol=1e-5)


def test_versions_differ_in_their_ema_heads_and_views(moco: Build) -> None:
    second, third = moco("v2"), moco("v3")
    assert (second.ema, third.ema) == ((0.999, 0.999), (0.99, 1.0))
    assert moco("v2", ema=(0.5, 0.6)).ema == (0.5, 0.6)
    assert not list(second.predictor.parameters())
    assert len(list(third.predictor.parameters())) > 0
    first_view, second_view = second.augmentations()
    assert first_view == second_view
    assert third.augmentations()[0] != third.augmentations()[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": "v1"}, "there is no version 'v1': choose one of v2, v3"),
    ],
)
def test_options_that_make_no_sense_are_named(tiny_method: Build, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_method("MoCo v2", **options)
