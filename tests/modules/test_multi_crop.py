from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchvision.transforms import v2

Build = Callable[..., Any]
BOTH = pytest.mark.parametrize("name", ["DINO", "LeJEPA"])


@BOTH
@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({}, (16, 16)),  # 3/7 of 32 is nearly 14, and that rounds to 2 patches
        ({"image_size": (32, 56)}, (16, 24)),
        ({"local_size": 24}, (24, 24)),
        ({"local_size": (8, 16)}, (8, 16)),
    ],
)
def test_two_global_views_come_before_smaller_local_ones(
    tiny_method: Build, views_of: Build, name: str, options: dict[str, Any], shape: tuple[int, int]
) -> None:
    model = tiny_method(name, **options)
    batch = views_of(model, size=4)
    assert [tuple(view.shape) for view in batch.views] == [(4, 3, *model.image_size)] * 2 + [(4, 3, *shape)] * 2
    assert model.objective(batch, 0.0).loss.isfinite()


@BOTH
def test_local_views_are_an_option(tiny_method: Build, views_of: Build, name: str) -> None:
    model = tiny_method(name, num_local=0)
    batch = views_of(model)
    assert len(batch.views) == 2
    model.objective(batch, 0.0).loss.backward()


def test_crops_have_the_scale_of_their_kind(tiny_method: Build) -> None:
    pipeline = tiny_method("DINO", crop_scale=(0.7, 0.9), local_crop_scale=(0.1, 0.2)).pipeline()
    steps = [step for view in pipeline.transform.transforms for step in view.transforms]
    scales = [step.scale for step in steps if isinstance(step, v2.RandomResizedCrop)]
    assert scales == [(0.7, 0.9)] * 2 + [(0.1, 0.2)] * 2


@BOTH
def test_one_pass_for_all_views_of_a_size_equals_one_for_each(tiny_method: Build, views_of: Build, name: str) -> None:
    model = tiny_method(name).eval()
    views = views_of(model, size=4).views
    features = model.encode_views(model.encoder, views)
    assert len(features) == 4
    for pooled, view in zip(features, views, strict=True):
        torch.testing.assert_close(pooled, model.encoder(view).mean(dim=1), atol=1e-5, rtol=1e-5)


@BOTH
def test_a_batch_without_the_local_views_is_refused(tiny_method: Build, views_of: Build, name: str) -> None:
    model = tiny_method(name)
    batch = views_of(model, size=2)
    message = rf"{name} takes 4 views of an image, 2 global and 2 local ones, got 2: use the transform of module\.pipel"
    for mode in (True, False):
        with pytest.raises(ValueError, match=message):
            model.train(mode).objective(batch._replace(views=batch.views[:2]), 0.0)
