from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning import IJEPA
from jepa_lightning.ema import ema_update_
from jepa_lightning.losses import VarianceCovariance
from jepa_lightning.nn import VisionTransformer
from jepa_lightning.optim import create_optimizer, parameter_groups
from jepa_lightning.types import Batch

Build = Callable[..., Any]


def test_the_names_that_scripts_rely_on() -> None:
    model = IJEPA(encoder="vit_tiny", image_size=96, patch_size=16, predictor_depth=4, predictor_dim=96)
    tops = {name.split(".")[0] for name in model.state_dict()}
    assert tops == {"context_encoder", "target_encoder", "predictor"}
    assert model.grid_size == (6, 6)
    assert model.eval_encoder is model.target_encoder


def test_objective_equals_a_slow_independent_one(tiny_ijepa: Build, make_batch: Build) -> None:
    model = tiny_ijepa().eval()
    with torch.no_grad():  # else the two encoders are equal, and a swap of them would not show
        for parameter in model.target_encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = make_batch(model, size=4)
    output = model.objective(batch, 0.0)
    view, masks = batch.views[0], batch.masks[0]
    losses = []
    for i in range(4):
        target = F.layer_norm(model.target_encoder(view[i : i + 1]), (48,))[0]
        context = model.context_encoder(view[i : i + 1], keep=masks.context[i : i + 1])
        for block in masks.target[i]:
            predicted = model.predictor(context, masks.context[i : i + 1], block[None, None])[0, 0]
            losses.append(F.smooth_l1_loss(predicted, target[block]))
    torch.testing.assert_close(output.loss, torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.features, model(view), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.energy(batch).mean(), output.loss, atol=1e-5, rtol=1e-5)


def test_gradient_reaches_context_encoder_and_predictor_and_never_the_target(
    tiny_ijepa: Build, make_batch: Build
) -> None:
    model = tiny_ijepa()
    model.objective(make_batch(model), 0.0).loss.backward()
    assert all(p.grad is not None for p in model.context_encoder.parameters())
    assert all(p.grad is not None for p in model.predictor.parameters())
    assert all(p.grad is None and not p.requires_grad for p in model.target_encoder.parameters())


def test_target_shares_no_storage_and_stays_in_eval_mode(tiny_ijepa: Build) -> None:
    model = tiny_ijepa(drop_path=0.5)
    online = {p.data_ptr() for p in model.context_encoder.parameters()}
    assert online.isdisjoint(p.data_ptr() for p in model.target_encoder.parameters())
    model.train()
    assert model.context_encoder.training
    assert not any(layer.training for layer in model.target_encoder.modules())


def test_one_sample_never_changes_anothers_energy(tiny_ijepa: Build, make_batch: Build) -> None:
    model = tiny_ijepa().eval()
    batch = make_batch(model)
    before = model.energy(batch)
    batch.views[0][0] = 0
    after = model.energy(batch)
    torch.testing.assert_close(before[1:], after[1:])
    assert not torch.allclose(before[0], after[0])


def test_energy_with_the_targets_of_another_image(tiny_ijepa: Build, make_batch: Build) -> None:
    model = tiny_ijepa().eval()
    batch = make_batch(model)
    view, masks = batch.views[0], batch.masks[0]
    crossed = model.energy(Batch([view, view.roll(1, 0)], (masks,)))
    context = model.context_encoder(view, keep=masks.context)
    predicted = model.predictor(context, masks.context, masks.target)
    other = F.layer_norm(model.target_encoder(view.roll(1, 0)), (48,))
    expected = [
        F.smooth_l1_loss(predicted[i], torch.stack([other[i, block] for block in masks.target[i]]))
        for i in range(len(view))
    ]
    torch.testing.assert_close(crossed, torch.stack(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("distance", ["smooth_l1", "l1", "l2", "cosine"])
@pytest.mark.parametrize("regularizer", [None, "variance_covariance", "sigreg", "uniformity"])
def test_twenty_bare_steps_lower_the_loss_and_move_the_target(
    tiny_ijepa: Build, make_batch: Build, distance: str, regularizer: str | None
) -> None:
    model = tiny_ijepa(distance=distance, regularizer=regularizer)
    batch = make_batch(model, size=16)
    optimizer = create_optimizer(parameter_groups(dict(model.named_children()), 0.04), "adamw", 1e-3)
    before = [p.clone() for p in model.target_encoder.parameters()]
    losses = []
    for step in range(20):
        loss = model.objective(batch, step / 20).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema_update_(model.context_encoder, model.target_encoder, 0.99)
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert any(not torch.equal(a, b) for a, b in zip(before, model.target_encoder.parameters(), strict=True))
    assert model(batch.views[0]).std(dim=0).mean() > 1e-3


def test_targets_of_several_layers_and_the_terms_of_two_crops_equal_slow_ones(
    tiny_ijepa: Build, make_batch: Build
) -> None:
    model = tiny_ijepa(target_layers=2, regularizer="variance_covariance", num_crops=2, invariance=3.0).eval()
    with torch.no_grad():
        for parameter in model.target_encoder.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = make_batch(model, size=4)
    batch = batch._replace(views=[*batch.views, torch.randn_like(batch.views[0])])
    (view, crop), (masks, crop_masks) = batch.views, batch.masks
    output = model.objective(batch, 0.0)
    layers = model.target_encoder(view, layers=(0, 1))
    tokens = F.layer_norm(sum(F.layer_norm(layer, (48,)) for layer in layers) / 2, (48,))
    context = model.context_encoder(view, keep=masks.context)
    predicted = model.predictor(context, masks.context, masks.target)
    expected = torch.stack(
        [
            F.smooth_l1_loss(predicted[i, m], tokens[i, masks.target[i, m]])
            for i in range(4)
            for m in range(masks.target.shape[1])
        ]
    ).mean()
    torch.testing.assert_close(output.logs["prediction_loss"], expected, atol=1e-5, rtol=1e-5)
    pooled = context.mean(1)
    other = torch.stack(
        [model.context_encoder(crop[i : i + 1], keep=crop_masks.context[i : i + 1])[0].mean(0) for i in range(4)]
    )
    statistic = VarianceCovariance(5, 1)
    expected = expected + (statistic(pooled) + statistic(other)) / 2 + 3 * ((pooled - other) ** 2).mean()
    torch.testing.assert_close(output.loss, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.features, layers[1].mean(1), atol=1e-5, rtol=1e-5)


def test_content_term_of_each_crop_equals_a_slow_one(tiny_ijepa: Build, make_batch: Build) -> None:
    model = tiny_ijepa(content=0.5, variance=3.0, covariance=0.2, regularizer="uniformity", num_crops=2).eval()
    batch = make_batch(model, size=4)
    batch = batch._replace(views=[*batch.views, torch.randn_like(batch.views[0])])
    terms = []
    for view, masks in zip(batch.views, batch.masks, strict=True):
        context = model.context_encoder(view, keep=masks.context)
        content = context.clone()
        for place in masks.context.unique():
            content[masks.context == place] -= context[masks.context == place].mean(dim=0)
        terms.append(0.5 * VarianceCovariance(3, 0.2)(content.flatten(0, 1)))
    output = model.objective(batch, 0.0)
    torch.testing.assert_close(output.logs["content_regularizer"], sum(terms) / 2, atol=1e-5, rtol=1e-5)
    expected = sum(output.logs[name] for name in ("prediction_loss", "regularizer", "content_regularizer"))
    torch.testing.assert_close(output.loss, expected, atol=1e-5, rtol=1e-5)


def test_optimizer_holds_what_trains_and_nothing_of_the_target(tiny_ijepa: Build) -> None:
    model = tiny_ijepa()
    groups = parameter_groups(dict(model.named_children()), 0.04)
    held = {id(p) for group in groups for p in group["params"]}
    assert held == {id(p) for p in model.parameters() if p.requires_grad}
    assert held.isdisjoint(id(p) for p in model.target_encoder.parameters())
    assert [group["name"] for group in groups] == [
        "context_encoder", "predictor", "context_encoder-no_decay", "predictor-no_decay",
    ]  # fmt: skip


def test_features_pooled_by_token_and_of_several_layers(tiny_ijepa: Build) -> None:
    model = tiny_ijepa().eval()
    images = torch.randn(2, 3, 32, 32)
    assert model(images).shape == (2, 48)
    assert model(images, pool=False).shape == (2, 16, 48)
    assert model(images, layers=(0, 1)).shape == (2, 96)
    torch.testing.assert_close(model(images, layers=(0, 1))[:, 48:], model(images))
    torch.testing.assert_close(model(images, pool=False).mean(1), model(images))


def test_batches_of_another_method_are_refused(tiny_ijepa: Build, make_batch: Build) -> None:
    model = tiny_ijepa()
    batch = make_batch(model)
    with pytest.raises(
        ValueError, match=r"needs masks in its batch for 1 crops, got 0: collate with module.pipeline\(\).collate"
    ):
        model.objective(batch._replace(masks=()), 0.0)
    with pytest.raises(ValueError, match="takes at most 1 views of an image, got 2"):
        model.objective(batch._replace(views=batch.views * 2), 0.0)
    with pytest.raises(TypeError, match=r"not list: make it with DataLoader\(dataset, collate_fn=module.pipeline"):
        model.training_step(batch.views, 0)


def test_masks_that_do_not_fit_the_grid_are_refused_at_construction() -> None:
    with pytest.raises(ValueError, match="min_keep=10"):
        IJEPA(encoder="vit_tiny", image_size=48, patch_size=16, predictor_dim=96)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_crops": 2}, "num_crops=2 without a regularizer"),
        ({"invariance": 5.0, "regularizer": "sigreg"}, "invariance=5.0 is between crops of an image: set num_crops"),
    ],
)
def test_crops_and_terms_that_need_each_other_are_refused_apart(
    tiny_ijepa: Build, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_ijepa(**options)


def test_crops_of_the_pipeline_have_masks_of_their_own_and_evaluation_has_one(tiny_ijepa: Build) -> None:
    model = tiny_ijepa(num_crops=2, regularizer="uniformity", projector_dim=16, invariance=1.0)
    pipeline = model.pipeline()
    image = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)
    train = pipeline.collate([pipeline.transform(image) for _ in range(4)])
    assert len(train.views) == len(train.masks) == 2
    assert not torch.equal(*train.views)
    assert train.masks[0].context.shape != train.masks[1].context.shape or not torch.equal(
        train.masks[0].context, train.masks[1].context
    )
    model.objective(train, 0.0).loss.backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    evaluation = pipeline.collate([pipeline.eval_transform(image) for _ in range(4)])
    assert len(evaluation.views) == 1
    torch.testing.assert_close(
        model.eval().objective(evaluation, 0.0).logs["prediction_loss"], model.energy(evaluation).mean()
    )


def test_pipeline_agrees_with_the_encoder_for_rectangles(tiny_ijepa: Build) -> None:
    model = tiny_ijepa(image_size=(32, 48))
    pipeline = model.pipeline()
    image = torch.randint(0, 256, (3, 50, 60), dtype=torch.uint8)
    batch = pipeline.collate([pipeline.transform(image), pipeline.transform(image)])
    assert batch.views[0].shape == (2, 3, 32, 48)
    assert int(batch.masks[0].target.max()) < 24
    assert model.objective(batch, 0.0).loss.isfinite()


def test_own_encoder_and_distance_by_overriding(tiny_ijepa: Build, make_batch: Build) -> None:
    class Doubled(VisionTransformer):
        def forward(self, *args: Any, **options: Any) -> Any:
            return 2 * super().forward(*args, **options)

    class Mine(IJEPA):
        def build_encoder(self) -> VisionTransformer:
            return Doubled(self.image_size, self.patch_size, *self.size)

        def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
            return (predicted - target).square().mean(dim=(1, 2, 3))

    model = tiny_ijepa(Mine)
    assert type(model.target_encoder) is Doubled
    batch = make_batch(model)
    torch.testing.assert_close(model.objective(batch, 0.0).loss, model.energy(batch).mean())
    assert model.energy(batch).mean() != tiny_ijepa().energy(batch).mean()


@pytest.mark.parametrize("options", [{"content": 1.0}, {"regularizer": "variance_covariance"}])
def test_a_last_batch_of_one_image_has_features_and_no_loss(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, options: dict[str, Any]
) -> None:
    (found,) = quiet_trainer().validate(tiny_ijepa(**options), shapes(num_val=17), verbose=False)
    assert found["val/loss"] > 0


def test_standard_deviations_are_those_between_images_at_each_position(tiny_ijepa: Build, make_batch: Build) -> None:
    model = tiny_ijepa()
    batch = make_batch(model)
    (masks,) = batch.masks
    output = model.objective(batch, 0.0)
    tokens = model.target_tokens(model.encode_target(batch.views[0]))
    predicted = model.predictor(
        model.context_encoder(batch.views[0], keep=masks.context), masks.context, masks.target
    ).detach()
    found: dict[int, list[Tensor]] = {}
    for place, token in zip(masks.target.flatten().tolist(), predicted.flatten(0, 2), strict=True):
        found.setdefault(place, []).append(token)
    # the variances at all positions, each weighted by its degrees of freedom
    squares = sum(torch.stack(each).var(dim=0).mean() * (len(each) - 1) for each in found.values() if len(each) > 1)
    expected = (squares / sum(len(each) - 1 for each in found.values())).sqrt()
    torch.testing.assert_close(output.logs["prediction_std"], expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(output.logs["target_std"], tokens.std(dim=0).mean())


def test_tokens_that_tell_positions_alone_have_no_standard_deviation(tiny_ijepa: Build, make_batch: Build) -> None:
    model = tiny_ijepa()
    batch = make_batch(model)
    same = batch._replace(views=[batch.views[0][:1].expand(8, -1, -1, -1)])
    assert model.objective(batch, 0.0).logs["target_std"] > 0.01
    assert model.objective(same, 0.0).logs["target_std"] < 1e-5
    (masks,) = same.masks
    by_position = torch.randn(model.grid_size[0] * model.grid_size[1], 48)
    found = model.spread_of(by_position[masks.target], by_position.expand(8, -1, -1), masks)
    assert all(value < 1e-5 for value in found.values())


@pytest.mark.filterwarnings("error")
def test_a_batch_of_one_image_logs_no_standard_deviation(tiny_ijepa: Build, make_batch: Build) -> None:
    model = tiny_ijepa()
    logs = model.objective(make_batch(model, size=1), 0.0).logs
    assert logs.keys() == {"prediction_loss"}
