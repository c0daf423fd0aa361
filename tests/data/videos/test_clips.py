import pickle
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

from jepa_lightning.data import ClipSampler, Pipeline, TensorVideo, masked_video_pipeline
from jepa_lightning.data.channels import IMAGENET_MEAN, IMAGENET_STD
from jepa_lightning.masking import CausalMask, MultiBlock3DMask, RandomTubeMask

PLAIN = {"mean": (0, 0, 0), "std": (1, 1, 1)}


class Film:
    """Frames that say which they are: red rises to the right, green downwards, blue is the index. Notes each read."""

    times = None

    def __init__(self, num_frames: int, fps: float | None = None, size: tuple[int, int] = (32, 32)) -> None:
        self.num_frames, self.fps, self.size = num_frames, fps, size
        self.asked: list[list[int]] = []

    def read(self, indices: Sequence[int]) -> Tensor:
        self.asked.append(list(indices))
        frames = torch.empty(len(indices), 3, *self.size, dtype=torch.uint8)
        frames[:, 0] = torch.arange(self.size[1])
        frames[:, 1] = torch.arange(self.size[0])[:, None]
        frames[:, 2] = torch.tensor(indices)[:, None, None]
        return frames


def pipeline(sampler: ClipSampler | None = None, size: tuple[int, int] = (16, 16), **options: object) -> Pipeline:
    return masked_video_pipeline(size, sampler or ClipSampler(4, step=2), (), **options)  # type: ignore[arg-type]


def test_a_video_without_frame_rate_cannot_be_asked_for_one() -> None:
    with pytest.raises(ValueError, match=r"fps=4 is asked of a video without a frame rate: give a step"):
        pipeline(ClipSampler(4, fps=4.0)).transform(torch.zeros(8, 3, 16, 16, dtype=torch.uint8))


def test_all_frames_of_a_clip_have_one_crop_and_the_clip_is_in_order() -> None:
    torch.manual_seed(0)
    sampler = ClipSampler(4, step=2)
    options = {"crop_scale": (0.25, 0.25), "crop_ratio": (2.0, 2.0), **PLAIN}
    views = torch.stack([pipeline(sampler, **options).transform(Film(20))[0] for _ in range(200)]) * 255
    assert torch.equal(views[:, :2], views[:, :2, :1].expand(-1, -1, 4, -1, -1))
    starts = views[:, 2, 0, 0, 0].round()
    expected = starts[:, None] + torch.arange(0, 8, 2)
    assert (views[:, 2] - expected[:, :, None, None]).abs().max() < 1e-3
    assert len(starts.unique()) == 14
    # half of the clips are mirrored, and a crop of a quarter of the area is twice as wide as it is high
    across = (views[:, 0, 0, 0, -1] - views[:, 0, 0, 0, 0]) / 15 * 16
    down = (views[:, 1, 0, -1, 0] - views[:, 1, 0, 0, 0]) / 15 * 16
    assert 70 < (across < 0).sum() < 130
    assert (across.abs() / down - 2).abs().max() < 0.3
    assert (across.abs() * down / 32**2 - 0.25).abs().max() < 0.05
    assert len(views[:, :2, 0, 0, 0].unique(dim=0)) > 50
    unmirrored = pipeline(sampler, flip=False, **options).transform
    assert all((unmirrored(Film(20))[0][0].diff(dim=-1) >= 0).all() for _ in range(50))


def test_clips_are_normalized_floats_with_channels_before_frames() -> None:
    red = torch.zeros(9, 3, 40, 24, dtype=torch.uint8)
    red[:, 0] = 255
    expected = (torch.tensor([1.0, 0.0, 0.0]) - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    for transform in (pipeline(size=(12, 20)).transform, pipeline(size=(12, 20)).eval_transform):
        (view,) = transform(red)
        assert type(view) is Tensor
        assert view.is_contiguous()
        torch.testing.assert_close(view, expected[:, None, None, None].expand(3, 4, 12, 20))


def test_chance_is_in_training_only_and_follows_from_the_generator() -> None:
    frames = torch.randint(0, 256, (30, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    train, evaluation = pipeline().transform, pipeline(size=(24, 24), **PLAIN).eval_transform
    torch.manual_seed(0)
    first, second = train(frames)[0], train(frames)[0]
    torch.manual_seed(0)
    assert torch.equal(train(frames)[0], first)
    assert not torch.equal(first, second)
    state = torch.get_rng_state()
    # frames of their own size are left as they are
    torch.testing.assert_close(evaluation(frames)[0] * 255, frames[12:19:2].transpose(0, 1).float())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("train", [True, False])
def test_only_the_frames_of_the_clip_are_read_at_once_and_tensors_are_videos(train: bool) -> None:
    def view(video: object, sampler: ClipSampler) -> Tensor:
        torch.manual_seed(0)
        made = pipeline(sampler, size=(12, 30))
        shown: Tensor = (made.transform if train else made.eval_transform)(video)[0]
        return shown

    film = Film(20, 25.0, (24, 48))
    frames = Film(20, 25.0, (24, 48)).read(range(20))
    for sampler in (ClipSampler(4, step=3), ClipSampler(4, fps=10)):
        torch.manual_seed(0)
        indices = sampler(film, train)
        film.asked.clear()
        expected = view(film, sampler)
        assert film.asked == [indices]
        assert expected.shape == (3, 4, 12, 30)
        assert torch.equal(view(TensorVideo(frames, 25.0), sampler), expected)
    assert torch.equal(view(frames, ClipSampler(4, step=3)), view(film, ClipSampler(4, step=3)))


def test_an_evaluation_shows_several_clips_and_crops() -> None:
    film = Film(20, size=(12, 44))
    made = pipeline(ClipSampler(2), size=(12, 12), eval_clips=2, eval_crops=3, **PLAIN)
    views = torch.stack(made.eval_transform(film)) * 255
    assert views.shape == (6, 3, 2, 12, 12)
    assert film.asked == [[4, 5], [14, 15]]
    assert views[:, 2, 0, 0, 0].round().tolist() == [4, 4, 4, 14, 14, 14]
    assert views[:, 0, 0, 0, 0].round().tolist() == [0, 16, 32] * 2
    middle = pipeline(ClipSampler(2), size=(12, 12), eval_clips=2, **PLAIN).eval_transform(film)
    torch.testing.assert_close(torch.stack(middle) * 255, views[[1, 4]])
    high = pipeline(ClipSampler(2), size=(12, 12), eval_crops=2, **PLAIN).eval_transform(Film(20, size=(44, 12)))
    assert [int(view[1, 0, 0, 0].mul(255).round()) for view in high] == [0, 32]
    assert len(made.transform(film)) == 1


def test_an_image_is_a_clip_that_stands_still() -> None:
    image = Film(1).read([0])[0]
    for sample in (image, to_pil_image(image), to_pil_image(image).quantize(256)):
        (view,) = pipeline(size=(32, 32), **PLAIN).eval_transform(sample)
        assert view.shape == (3, 4, 32, 32)
        assert torch.equal(view, view[:, :1].expand_as(view))
        torch.testing.assert_close(view[:, 0] * 255, image.float(), atol=9, rtol=0)
        (frame,) = pipeline(ClipSampler(1), size=(32, 32), **PLAIN).eval_transform(sample)
        assert torch.equal(frame, view[:, 0])


def test_one_frame_of_a_video_is_an_image() -> None:
    (view,) = pipeline(ClipSampler(1), size=(32, 32), **PLAIN).eval_transform(Film(21))
    assert view.shape == (3, 32, 32)
    assert (view[2] * 255).round().unique().tolist() == [10]


def test_what_is_no_video_is_named() -> None:
    with pytest.raises(TypeError, match=r"a model of clips was given str samples, which are neither videos nor images"):
        pipeline().transform("film.mp4")


def test_a_batch_has_masks_of_every_kind_also_in_a_worker() -> None:
    kinds = (MultiBlock3DMask((2, 4, 4), 2, min_keep=2), RandomTubeMask((2, 4, 4), 0.5), CausalMask((2, 4, 4), 1))
    made = pickle.loads(pickle.dumps(masked_video_pipeline((16, 16), ClipSampler(4), kinds)))
    torch.manual_seed(0)
    batch = made.collate([(made.eval_transform(Film(9)), {"direction": i}, None) for i in range(3)])
    assert batch.views[0].shape == (3, 3, 4, 16, 16)
    assert batch.labels["direction"].tolist() == [0, 1, 2]
    torch.manual_seed(0)
    for masks, kind in zip(batch.masks, kinds, strict=True):
        expected = kind(3)
        assert torch.equal(masks.context, expected.context)
        assert torch.equal(masks.target, expected.target)
