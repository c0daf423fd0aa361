import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from jepa_lightning.data.channels import IMAGENET_MEAN, IMAGENET_STD
from jepa_lightning.data.pipelines import eval_view, flips, masked_image_pipeline
from jepa_lightning.data.procedural.shapes import ShapesDataset
from jepa_lightning.masking import MultiBlockMask

MASKS = MultiBlockMask((4, 4), min_keep=1)
IMAGES = [torch.full((3, 8, 8), float(i)) for i in range(3)]


def scene(height: int, width: int) -> Tensor:
    """A scene stretched to a rectangle by repetition."""
    image = ShapesDataset(1, image_size=height)[0][0]
    return image.repeat_interleave(width // height, 2)


def test_the_training_view_is_a_random_crop_and_nothing_else() -> None:
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    image[0] = torch.arange(32)  # rises to the right
    image[1] = torch.arange(32)[:, None]  # rises downwards
    image[2] = 200
    pipeline = masked_image_pipeline((16, 16), MASKS, crop_scale=(0.5, 0.5), mean=(0, 0, 0), std=(1, 1, 1))
    views = torch.stack([pipeline.transform(image)[0] for _ in range(50)]) * 255
    assert views.shape == (50, 3, 16, 16)
    assert (views[:, 2] - 200).abs().max() < 1e-3
    for channel, axis in ((0, -1), (1, -2)):
        assert (views[:, channel].diff(dim=axis) >= 0).all()  # never mirrored
    # the share of the image that a view spans is that of the crop
    span = (views[:, 0, 0, -1] - views[:, 0, 0, 0]) * (views[:, 1, -1, 0] - views[:, 1, 0, 0]) / 15**2 * 16**2 / 32**2
    assert (span - 0.5).abs().max() < 0.08
    assert views[:, 0, 0, 0].unique().numel() > 5


def test_crops_differ_and_each_has_masks_while_the_deterministic_view_is_one() -> None:
    image = scene(32, 32)
    pipeline = masked_image_pipeline((16, 16), MASKS, num_crops=3)
    views = pipeline.transform(image)
    assert len(views) == len(pipeline.collate.masks) == 3
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(views[1], views[2])
    assert len(pipeline.eval_transform(image)) == 1


def test_flip_mirrors_half_of_the_images() -> None:
    image = torch.arange(32, dtype=torch.uint8).expand(3, 32, 32)
    pipeline = masked_image_pipeline((16, 16), MASKS, flip=True)
    torch.manual_seed(0)
    mirrored = sum(bool(view[0, 0, 0] > view[0, 0, -1]) for view in (pipeline.transform(image)[0] for _ in range(200)))
    assert 70 < mirrored < 130


def test_views_are_normalized_rgb_floats() -> None:
    red = Image.new("RGB", (40, 40), (255, 0, 0))
    pipeline = masked_image_pipeline((16, 16), MASKS)
    expected = (torch.tensor([1.0, 0.0, 0.0]) - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    for transform in (pipeline.transform, pipeline.eval_transform):
        (view,) = transform(red)
        assert type(view) is Tensor
        assert view.dtype == torch.float32
        torch.testing.assert_close(view, expected[:, None, None].expand(3, 16, 16))


@pytest.mark.parametrize("training", [True, False])
def test_pil_images_and_tensors_give_the_same_views(training: bool) -> None:
    image = scene(24, 48)
    pipeline = masked_image_pipeline((16, 16), MASKS)
    transform = pipeline.transform if training else pipeline.eval_transform
    torch.manual_seed(0)
    (from_tensor,) = transform(image)
    torch.manual_seed(0)
    (from_pil,) = transform(Image.fromarray(image.permute(1, 2, 0).numpy()))
    assert torch.equal(from_tensor, from_pil)


def test_gray_images_become_rgb() -> None:
    gray = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    transform = eval_view((16, 16), mean=(0, 0, 0), std=(1, 1, 1))
    (view,) = transform(gray)
    assert torch.equal(view[0], view[2])
    assert torch.equal(view, transform(torch.arange(256, dtype=torch.uint8).view(1, 16, 16))[0])


def test_the_deterministic_view_repeats_and_leaves_the_generator_alone() -> None:
    transform = masked_image_pipeline((16, 16), MASKS).eval_transform
    state = torch.get_rng_state()
    first, second = transform(scene(24, 48)), transform(scene(24, 48))
    assert torch.equal(first[0], second[0])
    assert torch.equal(torch.get_rng_state(), state)


def test_the_deterministic_view_of_an_image_of_its_own_size_is_the_image() -> None:
    image = scene(16, 32)
    (view,) = eval_view((16, 32), mean=(0, 0, 0), std=(1, 1, 1))(image)
    torch.testing.assert_close(view * 255, image.float())


@pytest.mark.parametrize("size", [(20, 60), (60, 20), (7, 100), (33, 33), (500, 333)])
@pytest.mark.parametrize("view_size", [(16, 16), (12, 30)])
def test_the_deterministic_view_keeps_the_aspect_and_the_center(
    size: tuple[int, int], view_size: tuple[int, int]
) -> None:
    height, width = size
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[0] = torch.linspace(0, 250, height)[:, None]
    image[1] = torch.linspace(0, 250, width)
    (view,) = eval_view(view_size, mean=(0, 0, 0), std=(1, 1, 1))(image)
    assert view.shape == (3, *view_size)
    middle = view[:2, view_size[0] // 2 - 1 : view_size[0] // 2 + 1, view_size[1] // 2 - 1 : view_size[1] // 2 + 1]
    scale = max(view_size[0] / height, view_size[1] / width)
    per_pixel = torch.tensor([250 / height, 250 / width]) / scale / 255
    # the center stays in the center, to half a pixel of the view
    assert ((middle.mean((1, 2)) - 125 / 255).abs() < per_pixel * 0.6 + 2 / 255).all()
    # and both sides shrink by the same factor
    rows, columns = view[0, -1, 0] - view[0, 0, 0], view[1, 0, -1] - view[1, 0, 0]
    spans = torch.stack([rows / (view_size[0] - 1), columns / (view_size[1] - 1)])
    torch.testing.assert_close(spans, per_pixel, rtol=0.15, atol=2e-3)


def test_views_can_be_rectangles() -> None:
    pipeline = masked_image_pipeline((12, 30), MASKS)
    assert pipeline.transform(scene(24, 48))[0].shape == (3, 12, 30)


def test_a_pipeline_survives_the_way_into_a_worker() -> None:
    pipeline = pickle.loads(pickle.dumps(masked_image_pipeline((16, 16), MASKS)))
    assert pipeline.eval_transform(scene(24, 48))[0].shape == (3, 16, 16)
    assert pipeline.collate(IMAGES).masks[0].context.shape[0] == 3


@pytest.mark.parametrize(
    ("given", "probability"), [(True, 0.5), (0.5, 0.5), (0.25, 0.25), (1.0, 1.0), (False, 0), (0.0, 0)]
)
def test_flip_is_a_probability_of_which_true_is_one_half(given: float, probability: float) -> None:
    steps = flips(given)
    assert [step.p for step in steps] == ([probability] if probability else [])
