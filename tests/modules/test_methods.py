"""What holds for every method."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from jepa_lightning import MAE, JEPAModule, MoCo, SimCLR
from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.ema import ema_update_
from jepa_lightning.optim import parameter_groups
from jepa_lightning.types import Batch

Build = Callable[..., Any]
WITH_TARGET = ("BYOL", "MoCo v2", "MoCo v3", "DINO")
# no sample sees another as long as batch normalization runs on its moving averages
SEPARATE = ("BYOL", "MoCo v2", "SimSiam", "DINO", "MAE")
JOINT = ("SimCLR", "MoCo v3", "VICReg", "BarlowTwins", "LeJEPA")


def rows(batch: Batch, part: slice) -> Batch:
    masks = tuple(type(masks)(*(index[part] for index in masks)) for masks in batch.masks)
    return batch._replace(views=[view[part] for view in batch.views], masks=masks)


def buffers(module: nn.Module) -> list[Tensor]:
    return [buffer.clone() for buffer in module.buffers()]


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def weights(module: nn.Module) -> list[Tensor]:
    return [value.clone() for value in module.state_dict().values()]


def twenty_steps(model: JEPAModule, batches: list[Batch]) -> list[float]:
    """Losses of a loop in bare torch, after a round in which MoCo's queue fills and DINO's center moves."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    with torch.no_grad():
        for batch in batches:
            model.objective(batch, 0.0)
    losses = []
    for step in range(20):
        loss = model.objective(batches[step % len(batches)], step / 20).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for online, target in model.ema_pairs():
            ema_update_(online, target, 0.99)
        losses.append(loss.item())
    return losses


def test_twenty_bare_steps_lower_the_loss_move_the_target_and_leave_features_apart(
    every_method: Build, views_of: Build
) -> None:
    model = every_method()
    batches = [views_of(model, seed=i) for i in range(4)]
    targets = [p.clone() for _, target in model.ema_pairs() for p in target.parameters()]
    losses = twenty_steps(model, batches)
    assert sum(losses[-5:]) < sum(losses[:5])
    moved = [p for _, target in model.ema_pairs() for p in target.parameters()]
    assert not moved or not equal(targets, moved)
    spread = model.eval()(batches[0].views[0]).std(dim=0)
    assert spread.min() > 0.05


def test_after_twenty_steps_an_image_fits_itself_better_than_another(tiny_method: Build, views_of: Build) -> None:
    model = tiny_method("SimCLR")
    batches = [views_of(model, seed=i) for i in range(4)]
    twenty_steps(model, batches)
    first, second = batches[0].views
    own, other = (model.eval().energy(Batch([first, view])).mean() for view in (second, second.roll(1, 0)))
    assert own < 0.9 * other


def test_gradient_reaches_all_that_trains_and_never_a_target(every_method: Build, views_of: Build) -> None:
    model = every_method()
    model.objective(views_of(model), 0.5).loss.backward()
    frozen = {id(p) for _, target in model.ema_pairs() for p in target.parameters()}
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (id(parameter) not in frozen), name
        assert (parameter.grad is not None) == parameter.requires_grad, name


@pytest.mark.parametrize("name", WITH_TARGET)
def test_no_gradient_flows_through_a_target(tiny_method: Build, views_of: Build, name: str) -> None:
    model = tiny_method(name).eval()
    context, target = (view.requires_grad_() for view in views_of(model, size=4).views[:2])
    model.energy(Batch([context, target])).sum().backward()
    assert context.grad.norm() > 0
    assert target.grad is None


def test_optimizer_holds_what_trains_and_networks_hold_all_parameters(every_method: Build) -> None:
    model = every_method()
    held = [p for group in parameter_groups(dict(model.named_children()), 0.04) for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters() if p.requires_grad}
    assert not list(model.named_parameters(recurse=False))


@pytest.mark.parametrize("options", [{"ema": (0.9, 1.0)}, {"ema_schedule": "cosine"}])
def test_an_ema_is_refused_where_there_is_no_target(
    tiny_method: Build, shapes: Build, quiet_trainer: Build, options: dict[str, Any]
) -> None:
    for name in ("SimCLR", "SimSiam", "MAE"):
        with pytest.raises(ValueError, match=f"{name}: ema.* has no effect, since the method has no EMA target"):
            quiet_trainer(max_steps=1).fit(tiny_method(name, **options), shapes())


def test_targets_share_no_storage_and_only_their_batch_norm_is_ever_in_train_mode(
    every_method: Build, request: Any
) -> None:
    model = every_method(drop_path=0.5)
    assert bool(model.ema_pairs()) == request.node.callspec.id.startswith(WITH_TARGET)
    for online, target in model.ema_pairs():
        held = [*online.parameters(), *online.buffers()]
        copied = [*target.parameters(), *target.buffers()]
        assert equal(held, copied)
        assert {t.data_ptr() for t in held}.isdisjoint(t.data_ptr() for t in copied)

    def modes() -> list[bool]:
        layers = [layer for _, target in model.ema_pairs() for layer in target.modules()]
        assert all(isinstance(layer, nn.BatchNorm1d) for layer in layers if layer.training)
        return [layer.training for layer in layers if isinstance(layer, nn.BatchNorm1d)]

    assert all(modes())  # as it is built: the Trainer does not call train()
    model.eval()
    assert not any(modes())
    model.train()
    assert all(modes())
    assert model.encoder.training


@pytest.mark.parametrize("name", ["BYOL", "MoCo v3"])
def test_batch_norm_of_targets_sees_every_batch_of_training_and_none_of_validation(
    tiny_method: Build, shapes: Build, quiet_trainer: Build, name: str
) -> None:
    model = tiny_method(name)
    trainer = quiet_trainer(max_steps=3, val_check_interval=2)  # and before the first step
    trainer.fit(model, shapes())
    for head in (model.projector, model.target_projector):
        counts = [layer.num_batches_tracked for layer in head if isinstance(layer, nn.BatchNorm1d)]
        assert counts
        assert counts == [6] * len(counts)  # two views a step


def test_features_are_a_by_product_without_a_graph(every_method: Build, views_of: Build) -> None:
    model = every_method()
    batch = views_of(model)
    output = model.objective(batch, 0.5)
    assert output.loss.shape == ()
    assert output.loss.requires_grad
    assert not any(value.requires_grad for value in output.logs.values())
    if isinstance(model, MAE):
        assert output.features is None
        return
    assert output.features.shape == (16, 48)
    assert not output.features.requires_grad
    torch.testing.assert_close(output.features, model(batch.views[0]))


def test_energy_has_a_number_for_each_image_which_others_do_not_change(every_method: Build, views_of: Build) -> None:
    model = every_method().eval()
    batch = views_of(model, training=False)
    crossed = batch._replace(views=[batch.views[0], batch.views[0].roll(1, 0)])
    for views in (batch, crossed):
        energy = model.energy(views)
        assert energy.shape == (16,)
        assert energy.isfinite().all()
        torch.testing.assert_close(model.energy(rows(views, slice(3, 4))), energy[3:4])
    assert not torch.allclose(model.energy(batch), model.energy(crossed))


def test_the_objective_in_eval_mode_leaves_the_module_as_it_is(every_method: Build, views_of: Build) -> None:
    model = every_method().eval()
    batch = views_of(model)
    before = buffers(model)
    first, second = (model.objective(batch, 1.0) for _ in range(2))
    assert first.loss.isfinite()
    assert torch.equal(first.loss, second.loss)
    assert equal(before, buffers(model))


def validation_loader(model: JEPAModule, shapes: Build, **options: Any) -> Any:
    data = shapes(pipeline=model.pipeline(), **options)
    data.setup()
    return data.val_dataloader()


def encoded_images(model: JEPAModule) -> list[int]:
    """Grows by the number of images whenever an encoder is called, the target's included."""
    encoded: list[int] = []
    targets = (getattr(model, name, None) for name in ("encoder", "context_encoder", "target_encoder"))
    for encoder in filter(None, targets):
        encoder.register_forward_hook(lambda network, args, output: encoded.append(len(args[0])))
    return encoded


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_validation_encodes_each_image_once_and_logs_no_loss_between_an_image_and_itself(
    every_method: Build, shapes: Build, quiet_trainer: Build, stage: str
) -> None:
    model, seen = every_method(), []
    encoded = encoded_images(model)

    class Watch(Callback):
        def on_validation_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch, *_: Any) -> None:
            seen.append((outputs["features"], outputs["tokens"], batch.views[0]))

        on_test_batch_end = on_validation_batch_end

    trainer = quiet_trainer(callbacks=[Watch()])
    evaluate = partial(getattr(trainer, stage), model, validation_loader(model, shapes), verbose=False)
    (first,), (second,) = evaluate(), evaluate()
    reconstructs = isinstance(model, MAE)
    # an objective needs a pass of its own beside that of the features
    assert sum(encoded) == 2 * 16 * (2 if reconstructs else 1)
    name = "val" if stage == "validate" else "test"
    assert first == second
    assert set(first) == ({f"{name}/loss"} if reconstructs else set())
    features, tokens, view = seen[0]
    with torch.inference_mode():
        expected = model(view, pool=False)
    torch.testing.assert_close(features, expected.mean(dim=1))
    assert reconstructs or torch.equal(tokens, expected)


def test_validation_of_jepas_encodes_each_image_by_context_and_target(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build
) -> None:
    model = tiny_ijepa()
    encoded = encoded_images(model)
    (found,) = quiet_trainer().validate(model, shapes(), verbose=False)
    assert sum(encoded) == 2 * 16
    assert found["val/loss"] > 0


class BothViews(SimCLR):
    objective_in_validation = True

    def pipeline(self) -> Pipeline:
        pipeline = super().pipeline()
        return replace(pipeline, eval_transform=lambda image: 2 * pipeline.eval_transform(image))


def test_a_subclass_that_shows_both_views_has_a_validation_loss(shapes: Build, quiet_trainer: Build) -> None:
    model = BothViews("vit_tiny", width=48, depth=1, image_size=32, patch_size=8)
    (found,) = quiet_trainer().validate(model, shapes(), verbose=False)
    assert math.isfinite(found["val/loss"])


@pytest.mark.parametrize("callback", [EarlyStopping("val/loss"), ModelCheckpoint(monitor="val/loss")])
def test_whoever_waits_for_the_validation_loss_of_views_is_told_that_there_is_none(
    tiny_method: Build, shapes: Build, quiet_trainer: Build, callback: Callback
) -> None:
    trainer = quiet_trainer(max_epochs=1, callbacks=[callback], enable_checkpointing=isinstance(callback, Checkpoint))
    with pytest.raises(MisconfigurationException, match=r"SimCLR logs no val/loss: .*val/knn"):
        trainer.fit(tiny_method("SimCLR"), shapes())


def test_prediction_with_the_trainer(every_method: Build, shapes: Build, quiet_trainer: Build) -> None:
    predictions = quiet_trainer().predict(every_method(), shapes(num_train=16))
    assert [p["features"].shape for p in predictions] == [(16, 48)] * 2


def test_several_validation_loaders_have_metrics_of_their_own(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build
) -> None:
    model = tiny_ijepa()
    loaders = [validation_loader(model, shapes, num_val=number) for number in (16, 8)]
    for name in ("validate", "test"):
        found = getattr(quiet_trainer(), name)(model, loaders, verbose=False)
        stage = name.removesuffix("idate")
        assert [f"{stage}/loss/dataloader_idx_{i}" in each for i, each in enumerate(found)] == [True, True]
        alone = [getattr(quiet_trainer(), name)(model, loader, verbose=False)[0] for loader in loaders]
        for i in range(2):
            assert found[i][f"{stage}/loss/dataloader_idx_{i}"] == pytest.approx(alone[i][f"{stage}/loss"])


def test_a_last_batch_of_one_image_does_not_stop_a_validation(
    every_method: Build, shapes: Build, quiet_trainer: Build
) -> None:
    (found,) = quiet_trainer().validate(every_method(), shapes(num_val=17), verbose=False)
    assert all(map(math.isfinite, found.values()))


def test_a_wrong_number_of_views_is_refused_with_a_hint(every_method: Build, views_of: Build) -> None:
    model = every_method()
    batch = views_of(model, size=2)
    wrong = [batch._replace(views=[*batch.views, batch.views[0]])]
    wrong.append(batch._replace(masks=()) if isinstance(model, MAE) else batch._replace(views=batch.views[:1]))
    for each in wrong:
        message = rf"^{type(model).__name__} takes .*, got {len(each.views)}.*: .* module\.pipeline\(\)"
        for mode in (True, False):
            with pytest.raises(ValueError, match=message):
                model.train(mode).objective(each, 0.0)
    with pytest.raises(TypeError, match=r"collate_fn=module\.pipeline"):
        model.training_step(batch.views, 0)


def test_loads_without_arguments_and_with_weights_only(
    every_method: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    model = every_method(lr=0.002)
    before = weights(model)
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(model, shapes())
    assert not equal(before, weights(model))
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    assert torch.load(tmp_path / "run.ckpt", weights_only=True)["hyper_parameters"]["width"] == 48
    loaded = type(model).load_from_checkpoint(tmp_path / "run.ckpt")
    assert equal(weights(loaded), weights(model))
    assert loaded.hparams == model.hparams
    assert loaded.lr == 0.002


@pytest.mark.parametrize(
    "name",
    ["MoCo v2", "BYOL", "DINO"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("SimCLR", "MoCo v3", "SimSiam", "MAE", "VICReg", "BarlowTwins", "LeJEPA")
    ],
)
def test_four_steps_equal_two_and_two_resumed(
    tiny_method: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, name: str
) -> None:
    def run(ckpt: Path | None = None) -> list[Tensor]:
        saver = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1)
        model = tiny_method(name)
        torch.manual_seed(7 if ckpt is None else 99)  # the resumed run continues with the seed of the first
        trainer = quiet_trainer(max_steps=4, enable_checkpointing=True, callbacks=[saver], limit_val_batches=0)
        trainer.fit(model, shapes(num_train=48), ckpt_path=ckpt)  # from the middle of the first epoch into the second
        return weights(model)

    assert equal(run(), run(tmp_path / "step=2.ckpt"))


@pytest.mark.parametrize("name", SEPARATE)
def test_two_halves_accumulated_are_the_whole_batch_where_samples_do_not_see_each_other(
    tiny_method: Build, views_of: Build, name: str
) -> None:
    model = tiny_method(name).eval()
    batch = views_of(model)
    trained = [p for p in model.parameters() if p.requires_grad]

    def gradient(*parts: slice) -> list[Tensor]:
        loss = sum(model.objective(rows(batch, part), 0.5).loss for part in parts) / len(parts)
        return list(torch.autograd.grad(loss, trained))

    whole, halves = gradient(slice(0, 16)), gradient(slice(0, 8), slice(8, 16))
    for one, other in zip(whole, halves, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", JOINT)
def test_two_halves_are_not_the_whole_batch_where_they_do(tiny_method: Build, views_of: Build, name: str) -> None:
    model = tiny_method(name).eval()
    batch = views_of(model)
    whole, first, second = (
        model.objective(rows(batch, part), 0.5).loss for part in (slice(0, 16), slice(0, 8), slice(8, 16))
    )
    assert not torch.allclose(whole, (first + second) / 2, rtol=1e-4)


def test_a_method_whose_samples_see_each_other_says_so(every_method: Build) -> None:
    cls = type(every_method())
    assert ("accumulated" in cls.__doc__) == (cls is not MAE)
    assert ("Version 3 compares samples" in cls.__doc__) == (cls is MoCo)


@pytest.mark.parametrize(("given", "steps"), [(True, 1), (False, 0), (0.0, 0), (0.3, 1)])
def test_flip_means_the_same_in_every_method(every_method: Build, given: Any, steps: int) -> None:
    model = every_method(flip=given)
    shown = str(model.pipeline().transform)
    views = shown.count("RandomResizedCrop")
    assert shown.count("RandomHorizontalFlip") == steps * views
    assert shown.count(f"RandomHorizontalFlip(p={0.5 if given is True else given})") == steps * views


def test_flip_is_refused_outside_of_its_range(every_method: Build) -> None:
    with pytest.raises(ValueError, match=r"flip=1.5 is out of range: give a number in \[0, 1\]"):
        every_method(flip=1.5)
