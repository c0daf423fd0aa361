from collections.abc import Callable
from typing import Any

import pytest
import torch

from jepa_lightning import modules
from jepa_lightning.modules.traits import Traits
from jepa_lightning.types import Batch

Build = Callable[..., Any]


@pytest.fixture
def build(tiny_method: Build, tiny_ijepa: Build) -> Build:
    def method(name: str, **options: Any) -> Any:
        return tiny_ijepa(**options) if name == "IJEPA" else tiny_method(name, **options)

    return method


def traits_of(model: Any) -> Traits:
    return type(model).traits


def test_every_method_has_a_row_and_bases_have_none() -> None:
    without = [name for name in modules.__all__ if getattr(modules, name).traits is None]
    assert without == ["Classifier", "JEPAModule", "JointEmbedding", "LatentPrediction", "MultiCrop"]


def test_those_with_an_ema_target_have_one(every_method: Build) -> None:
    model = every_method()
    says = traits_of(model).kept_from_collapse_by.startswith(("EMA", "negatives"))
    assert bool(model.ema_pairs()) == (says and type(model).__name__ != "SimCLR")


def leaves(batch: Batch) -> Batch:
    return batch._replace(views=[view.clone().requires_grad_() for view in batch.views])


@pytest.mark.parametrize("name", ["MAE", "IJEPA", "BYOL", "DINO", "SimSiam"])
def test_what_needs_neither_negatives_nor_statistics_learns_of_an_image_from_itself(
    build: Build, views_of: Build, name: str
) -> None:
    """With batch normalization on its moving averages, no other image matters to the term of one."""
    model = build(name).eval()
    assert not traits_of(model).needs_negatives
    assert traits_of(model).kept_from_collapse_by != "statistics of the batch"
    batch = leaves(views_of(model, size=4))
    model.energy(batch)[1].backward()
    used = [view.grad for view in batch.views if view.grad is not None]
    assert used  # a teacher's view has none
    for gradient in used:
        assert [bool(each.any()) for each in gradient] == [False, True, False, False]
    assert not others_matter(model, views_of(model))


def others_matter(model: Any, batch: Batch) -> bool:
    """Whether what the loss asks of the first image changes with the other images."""
    gradients = []
    for flipped in (False, True):
        views = [torch.cat([view[:1], view[1:].flip(-1) if flipped else view[1:]]) for view in batch.views]
        changed = leaves(batch._replace(views=views))
        model.objective(changed, 0.5).loss.backward()
        gradients.append(changed.views[0].grad[0])
    scale = gradients[0].abs().amax()
    change = (gradients[0] - gradients[1]).abs().amax() / scale
    assert change < 1e-5 or change > 0.01  # rounding or a reason
    return bool(change > 0.01)


@pytest.mark.parametrize("name", ["SimCLR", "MoCo v3", "VICReg", "BarlowTwins", "LeJEPA"])
def test_what_needs_negatives_or_statistics_learns_of_an_image_from_others(
    build: Build, views_of: Build, name: str
) -> None:
    model = build(name).eval()
    traits = traits_of(model)
    assert traits.needs_negatives == (traits.kept_from_collapse_by == "negatives")
    assert traits.needs_negatives or traits.kept_from_collapse_by == "statistics of the batch"
    assert others_matter(model, views_of(model))


def test_the_negatives_of_moco_v2_are_in_its_queue(build: Build, views_of: Build) -> None:
    model = build("MoCo v2").eval()
    batch = views_of(model)
    assert not others_matter(model, batch)
    before = model.objective(batch, 0.5).loss
    model.queue.keys.neg_()
    assert not torch.allclose(model.objective(batch, 0.5).loss, before)


PLAIN = {"crop_scale": (1.0, 1.0), "color_strength": 0.0, "flip": 0.0}


@pytest.mark.parametrize("name", ["SimCLR", "VICReg", "BarlowTwins", "LeJEPA"])
def test_without_augmentations_a_pair_fits_whatever_the_weights(build: Build, views_of: Build, name: str) -> None:
    """So there is nothing to learn from it, where real views leave something."""
    for options, fits in ((PLAIN, True), ({}, False)):
        model = build(name, **options)
        batch = views_of(model)
        energy = model.eval().energy(batch._replace(views=batch.views[:2]))
        assert bool((energy < 1e-5).all()) == fits


@pytest.mark.parametrize(
    "name", ["SimCLR", "BYOL", "MoCo v2", "MoCo v3", "SimSiam", "DINO", "VICReg", "BarlowTwins", "LeJEPA"]
)
def test_without_augmentations_the_two_views_are_the_same(build: Build, views_of: Build, name: str) -> None:
    model = build(name, **PLAIN)
    assert traits_of(model).needs_augmentations
    batch, evaluation = views_of(model), views_of(model, training=False)
    first, second = batch.views[:2]
    assert torch.equal(first, second)
    torch.testing.assert_close(first, evaluation.views[0])  # the image itself
    first, second = views_of(build(name)).views[:2]
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("name", ["MAE", "IJEPA"])
def test_without_augmentations_there_is_still_a_part_to_predict_from_another(
    build: Build, views_of: Build, name: str
) -> None:
    options = {"crop_scale": (1.0, 1.0)} | ({"flip": False} if name == "MAE" else {})
    model = build(name, **options)
    assert not traits_of(model).needs_augmentations
    batch, evaluation = views_of(model), views_of(model, training=False)
    (view,) = batch.views
    torch.testing.assert_close(view, evaluation.views[0])
    (masks,) = batch.masks
    for context, target in zip(masks.context, masks.target.flatten(1), strict=True):
        assert set(context.tolist()).isdisjoint(target.tolist())
    loss = model.objective(batch, 0.5).loss
    loss.backward()
    assert loss > 0.1
    encoder = model.encoder if name == "MAE" else model.context_encoder
    assert all(p.grad.norm() > 0 for p in encoder.parameters())
