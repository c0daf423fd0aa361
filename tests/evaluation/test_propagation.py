from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader

from jepa_lightning.data import PhysicsVideoDataset
from jepa_lightning.evaluation.propagation import propagation, whole_video_pipeline
from jepa_lightning.evaluation.subjects import Subject
from jepa_lightning.evaluation.tasks import Settings


class Perfect(Subject):
    """Tokens that say which object each place shows."""

    def tokens(self, views: Any) -> torch.Tensor:
        color = torch.nn.functional.adaptive_avg_pool2d(views[0], 48)
        return color.flatten(2).transpose(1, 2)

    def grid(self, view: torch.Tensor, tokens: int) -> tuple[int, int]:
        return 48, 48


def loader(size: int, offset: int, pipeline: Any) -> DataLoader:
    data = PhysicsVideoDataset(size, num_frames=4, dense=True, offset=offset)
    return DataLoader([pipeline.eval_transform(data[i]) for i in range(size)], 2, collate_fn=pipeline.collate)


def test_masks_show_bodies_where_the_clip_does_and_not_behind_an_occluder() -> None:
    plain, dense = PhysicsVideoDataset(12), PhysicsVideoDataset(12, dense=True)
    hidden = False
    for i in range(12):
        frames, mask = plain[i][0], dense[i].extras["mask"]
        assert torch.equal(frames, dense[i].media)
        assert mask.shape == (16, 48, 48)
        assert (mask > 0).any()  # a body may stay behind the occluder through all of a clip
        # bodies are brighter than the background and the occluder
        assert (frames.amax(dim=1)[mask > 0] > 100).float().mean() > 0.95
        hidden |= bool(((mask[1:] == 1).sum(dim=(1, 2)) < 0.3 * (mask == 1).sum(dim=(1, 2)).max()).any())
    assert hidden


@pytest.mark.slow  # 17 s
def test_pixels_follow_bodies_and_a_constant_encoder_does_not(tiny_ijepa: Any) -> None:
    module = tiny_ijepa(image_size=48)
    pipeline = whole_video_pipeline(module)
    loaders = loader(4, 0, pipeline), loader(4, 1000, pipeline)
    found = propagation(Perfect("perfect"), *loaders, Settings())["mask"]
    constant = propagation(Constant("constant"), *loaders, Settings())["mask"]
    assert found["j_and_f"] > 0.8 > constant["j_and_f"]
    assert found["j_and_f"] == pytest.approx((found["j"] + found["f"]) / 2)
    assert found["interval"][0] <= found["j_and_f"] <= found["interval"][1]
    assert found["samples"] == 4
    with_module = propagation(Subject("random", module.eval()), *loaders, Settings())["mask"]
    assert 0 <= with_module["j_and_f"] <= 1


class Constant(Perfect):
    """Tokens that are all the same."""

    def tokens(self, views: Any) -> torch.Tensor:
        return torch.ones_like(super().tokens(views))


def test_videos_without_masks_are_refused(tiny_ijepa: Any) -> None:
    with pytest.raises(ValueError, match="propagation needs videos with the masks of their frames"):
        whole_video_pipeline(tiny_ijepa()).eval_transform(PhysicsVideoDataset(1)[0][0])
