import pickle

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from jepa_lightning.data.augmentation import Augmentation, augmented_pipeline
from jepa_lightning.data.blur import SeparableGaussianBlur
from jepa_lightning.data.procedural.shapes import ShapesDataset

PLAIN = Augmentation(crop_scale=(1.0, 1.0), flip=0, jitter=(0, 0, 0, 0), grayscale=0, blur=0, solarize=0)
SIZES = [(32, 32), (32, 32), (16, 24)]
RAW = {"mean": (0, 0, 0), "std": (1, 1, 1)}


def scene(size: int = 40) -> Tensor:
    return ShapesDataset(1, image_size=size)[0][0]


def blurs(size: tuple[int, int], augmentation: Augmentation) -> list[SeparableGaussianBlur]:
    chosen = [step for step in augmentation.steps(size) if isinstance(step, v2.RandomApply)]
    return [step for choice in chosen for step in choice.transforms if isinstance(step, SeparableGaussianBlur)]


@pytest.mark.parametrize("as_pil", [False, True])
def test_every_augmentation_gives_a_view_of_its_size(as_pil: bool) -> None:
    image = v2.functional.to_pil_image(scene()) if as_pil else scene()
    pipeline = augmented_pipeline([(Augmentation(solarize=0.5), size) for size in SIZES])
    torch.manual_seed(0)
    views = pipeline.transform(image)
    assert [tuple(view.shape) for view in views] == [(3, *size) for size in SIZES]
    assert all(type(view) is Tensor and view.dtype == torch.float32 for view in views)
    assert not torch.equal(views[0], views[1])
    (plain,) = pipeline.eval_transform(image)
    assert plain.shape == (3, 32, 32)
    batch = pipeline.collate([(views, 0), (views, 1)])
    assert [tuple(view.shape) for view in batch.views] == [(2, 3, *size) for size in SIZES]
    assert batch.masks == ()


def test_views_are_normalized_like_the_deterministic_one() -> None:
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.4, 0.3)
    pipeline = augmented_pipeline([(PLAIN, (8, 8))], mean, std)
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 8, 8)
    expected = (torch.tensor([1.0, 0.0, 0.0]) - torch.tensor(mean)) / torch.tensor(std)
    for view in (*pipeline.transform(red), *pipeline.eval_transform(red)):
        torch.testing.assert_close(view, expected[:, None, None].expand(3, 8, 8))


@pytest.mark.parametrize("size", [32, 45, 100])
def test_without_chance_a_view_of_a_square_image_is_the_deterministic_one(size: int) -> None:
    still = Augmentation(solarize=0.2).scaled(0.0, (1.0, 1.0), 0.0)
    pipeline = augmented_pipeline([(still, (32, 32)), (PLAIN, (32, 32))])
    (expected,) = pipeline.eval_transform(scene(size))
    for _ in range(5):
        for view in pipeline.transform(scene(size)):
            assert torch.equal(view, expected)


def test_a_certain_flip_mirrors_and_a_certain_solarisation_inverts_bright_pixels() -> None:
    image = scene(16)
    bright = image >= 128
    assert bright.any()
    assert not bright.all()
    gray = v2.functional.rgb_to_grayscale(image, 3)
    for changed, expected in (
        ({"flip": 1.0}, image.flip(2)),
        ({"solarize": 1.0}, torch.where(bright, 255 - image, image)),
        ({"grayscale": 1.0}, gray),
    ):
        augmentation = Augmentation(**{**vars(PLAIN), **changed})
        (view,) = augmented_pipeline([(augmentation, (16, 16))], **RAW).transform(image)
        torch.testing.assert_close(view * 255, expected.float(), msg=str(changed))


def test_jitter_happens_as_often_as_it_should_and_keeps_to_its_range() -> None:
    image = torch.full((3, 8, 8), 100, dtype=torch.uint8)
    augmentation = Augmentation(**{**vars(PLAIN), "jitter": (0.4, 0, 0, 0), "jitter_chance": 0.75})
    pipeline = augmented_pipeline([(augmentation, (8, 8))], **RAW)
    torch.manual_seed(0)
    values = torch.stack([pipeline.transform(image)[0].mean() * 255 for _ in range(400)])
    assert values.min() >= 59
    assert values.max() <= 140
    assert values.max() - values.min() > 75
    # a change of less than half a step in 40 shows as none; five standard errors
    assert ((values - 100).abs() > 0.5).float().mean().item() == pytest.approx(0.75 * (1 - 1 / 80), abs=0.11)


def test_jitter_on_pil_draws_the_same_changes_as_on_tensors_and_makes_nearly_the_same() -> None:
    strengths = (0.4, 0.4, 0.2, 0.1)
    augmentation = Augmentation(**{**vars(PLAIN), "jitter": strengths, "jitter_chance": 1.0})
    pipeline = augmented_pipeline([(augmentation, (40, 40))], **RAW)
    on_tensors = v2.Compose(
        [v2.RandomResizedCrop((40, 40), (1.0, 1.0)), v2.RandomApply([v2.ColorJitter(*strengths)], 1.0)]
    )
    for seed in range(20):
        torch.manual_seed(seed)
        found = pipeline.transform(scene())[0] * 255
        torch.manual_seed(seed)
        expected = on_tensors(scene())
        # PIL has 256 hues and rounds differently
        assert (found - expected).abs().mean() < 2.0
        assert (found - scene()).abs().mean() > (found - expected).abs().mean()


@pytest.mark.parametrize(
    ("size", "kernel"), [((32, 32), 0), ((63, 63), 0), ((96, 63), 0), ((64, 64), 7), ((64, 200), 7), ((224, 224), 23)]
)
def test_views_of_64_pixels_and_more_are_blurred_with_a_tenth_of_them(size: tuple[int, int], kernel: int) -> None:
    found = blurs(size, Augmentation(blur=0.3))
    assert [step.kernel_size for step in found] == ([kernel] if kernel else [])
    assert blurs(size, Augmentation(blur=0)) == []
    if kernel:
        steps = Augmentation(blur=0.3).steps(size)
        assert [step.p for step in steps if isinstance(step, v2.RandomApply)] == [0.8, 0.3]


def test_blur_smooths_what_jitter_leaves_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator)
    augmentation = Augmentation(**{**vars(PLAIN), "blur": 1.0})
    pipeline = augmented_pipeline([(augmentation, (64, 64))], **RAW)
    torch.manual_seed(0)
    spreads = [pipeline.transform(noise)[0].std() / (noise / 255).std() for _ in range(10)]
    assert min(spreads) < 0.4
    assert max(spreads) <= 1


def test_steps_of_no_chance_are_left_out() -> None:
    assert [type(step) for step in PLAIN.steps((64, 64))] == [v2.RandomResizedCrop]
    every = Augmentation(solarize=0.2).steps((64, 64))
    assert [type(step).__name__ for step in every] == [
        "RandomResizedCrop", "RandomHorizontalFlip", "RandomApply", "RandomGrayscale", "RandomApply", "RandomSolarize",
    ]  # fmt: skip


def test_scaled_changes_strengths_and_never_raises_a_chance() -> None:
    base = Augmentation(jitter=(0.4, 0.3, 0.2, 0.1), grayscale=0.2, blur=0.6, solarize=0.1)
    half = base.scaled(0.5, None, None)
    assert half.jitter == pytest.approx((0.2, 0.15, 0.1, 0.05))
    assert (half.grayscale, half.blur, half.solarize) == pytest.approx((0.1, 0.3, 0.05))
    assert (half.crop_scale, half.flip, half.jitter_chance) == (base.crop_scale, base.flip, base.jitter_chance)
    strong = base.scaled(8, (0.5, 0.9), 0.25)
    assert strong.jitter == pytest.approx((3.2, 2.4, 1.6, 0.5))  # a hue turns by half a circle at most
    assert (strong.grayscale, strong.blur, strong.solarize) == (0.2, 0.6, 0.1)
    assert (strong.crop_scale, strong.flip) == ((0.5, 0.9), 0.25)
    assert base.scaled(1, None, None) == base
    none = base.scaled(0, None, 0.0)
    assert (none.jitter, none.grayscale, none.blur, none.solarize, none.flip) == ((0, 0, 0, 0), 0, 0, 0, 0)
    strong.steps((64, 64))  # torchvision takes them


def test_seeds_repeat_views_also_in_a_copy_for_a_worker() -> None:
    pipeline = augmented_pipeline([(Augmentation(solarize=0.5), size) for size in SIZES])
    copy = pickle.loads(pickle.dumps(pipeline))
    drawn = []
    for transform, seed in ((pipeline.transform, 1), (pipeline.transform, 1), (copy.transform, 1), (copy.transform, 2)):
        torch.manual_seed(seed)
        drawn.append(transform(scene()))
    for again in drawn[1:3]:
        assert all(torch.equal(a, b) for a, b in zip(drawn[0], again, strict=True))
    assert not torch.equal(drawn[0][0], drawn[3][0])


def test_presets_for_small_images_say_what_they_keep() -> None:
    paper = Augmentation(solarize=0.3, interpolation="bicubic")
    assert paper.preset("paper") == paper
    small, crops = paper.preset("small"), paper.preset("crops", local=True)
    for preset in (small, crops):
        assert (preset.flip, preset.grayscale, preset.blur, preset.solarize) == (0.0, 0.0, 0.0, 0.0)
        assert preset.interpolation == "bicubic"
    assert (small.crop_scale, crops.crop_scale) == ((0.6, 1.0), (0.3, 0.6))
    brightness, contrast, saturation, hue = small.jitter
    assert 0 < brightness == contrast == saturation <= 0.2
    assert hue == 0
    assert not any(crops.jitter)
    kinds = {type(step) for step in crops.steps((32, 32))}
    assert kinds == {v2.RandomResizedCrop}
