from typing import Any

import pytest
import torch
from torchvision.transforms import v2

from jepa_lightning import IJEPA, SimCLR
from jepa_lightning.data import ShapesDataModule, ShapesDataset
from jepa_lightning.data.dense import shown_with_labels
from jepa_lightning.data.pipelines import eval_view
from jepa_lightning.data.videos.clips import ClipSampler, ClipView
from jepa_lightning.types import Sample


def test_scenes_are_the_same_and_masks_boxes_and_depths_fit_them() -> None:
    plain, dense = ShapesDataset(12, 64), ShapesDataset(12, 64, dense=True)
    for i in range(12):
        (image, labels, _), sample = plain[i], dense[i]
        assert torch.equal(image, sample.media)
        assert labels.items() <= sample.labels.items()
        mask, boxes, depth = (sample.extras[name] for name in ("mask", "boxes", "depth"))
        assert mask.unique().tolist() == [0, labels["shape"] + 1]
        known = boxes[~boxes.isnan().any(dim=1)]
        assert len(known) == labels["count"] + 1
        assert sample.extras["box_classes"].tolist() == [labels["shape"]] * len(known) + [-1] * (4 - len(known))
        inside = torch.zeros(64, 64, dtype=torch.bool)
        for left, top, right, bottom in known.int().tolist():
            inside[top:bottom, left:right] = True
        assert (mask > 0)[~inside].sum() == 0
        assert ((depth < 1) == (mask > 0)).all()
        x, y, radius = sample.labels["place"].tolist()
        left, top, right, bottom = (known[0] / 64).tolist()
        assert left < x < right
        assert top < y < bottom
        assert max(right - left, bottom - top) <= 2 * radius + 1 / 32
        assert (sample.labels["distance"] is None) == (labels["count"] == 0)
    assert len(ShapesDataModule(dense=True).mask_names) == 9
    assert len(ShapesDataModule(dense=True).box_names) == 8
    assert ShapesDataModule().mask_names is ShapesDataModule().box_names is None


def marked() -> Sample:
    """A white square on black, and its labels."""
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    image[:, 10:30, 24:44] = 255
    mask = (image[0] > 0).long() * 3
    boxes = torch.tensor([[24.0, 10.0, 44.0, 30.0], [float("nan")] * 4])
    return Sample(image, 1, "a.png", {"mask": mask, "depth": 1 - mask / 4, "boxes": boxes})


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("build", [IJEPA, SimCLR])
def test_what_happens_to_the_image_happens_to_its_labels(build: Any, train: bool) -> None:
    options = {"color_strength": 0.0} if build is SimCLR else {"flip": 0.5}
    module = build("vit_tiny", depth=1, image_size=32, patch_size=4, **options)
    pipeline = module.pipeline()
    transform = pipeline.transform if train else pipeline.eval_transform
    for seed in range(4):
        torch.manual_seed(seed)
        shown = transform(marked())
        torch.manual_seed(seed)
        alone = transform(marked().media)
        assert all(torch.equal(first, second) for first, second in zip(shown.media[:1], alone[:1], strict=True))
        white = shown.media[0][0] > 0
        mask = shown.extras["mask"]
        assert set(mask.unique().tolist()) <= {0, 3}
        # edges are of part of a pixel
        assert ((mask == 3) == white).float().mean() > 0.9
        assert ((shown.extras["depth"] < 1) == (mask == 3)).all()
        [left, top, right, bottom], none = shown.extras["boxes"].tolist()
        assert all(value != value for value in none)
        if mask.any():
            rows, columns = mask.nonzero().amin(dim=0).tolist(), mask.nonzero().amax(dim=0).tolist()
            for found, expected in ((left, rows[1]), (top, rows[0]), (right, columns[1] + 1), (bottom, columns[0] + 1)):
                assert abs(found - expected) <= 1


def test_other_extras_are_refused_by_a_pipeline_of_images() -> None:
    sample = marked()._replace(extras={"speed": torch.zeros(2)})
    with pytest.raises(TypeError, match="the samples have extras \\(speed\\)"):
        eval_view((32, 32))(sample)


def test_boxes_are_cut_to_the_view_and_those_of_which_nothing_is_left_lose_their_class() -> None:
    boxes = torch.tensor(
        [[24.0, 10.0, 44.0, 30.0], [0.0, 0.0, 26.5, 40.0], [0.0, 0.0, 27.5, 40.0], [0.0, 0.0, 9.0, 9.0]]
    )
    sample = Sample(marked().media, extras={"boxes": boxes, "box_classes": torch.tensor([4, 3, 2, 1])})
    _, extras = shown_with_labels(v2.CenterCrop(8), sample)
    # the view is from 26 to 34: of the second box half a pixel would be left
    assert extras["boxes"].isnan().any(dim=1).tolist() == [False, True, False, True]
    assert extras["boxes"][0].tolist() == [0, 0, 8, 8]
    assert extras["boxes"][2].tolist() == [0, 0, 1.5, 8]
    assert extras["box_classes"].tolist() == [4, -1, 2, -1]


@pytest.mark.parametrize("names", [("mask", "depth"), ("boxes",), ("mask",)])
def test_labels_of_images_are_refused_by_a_method_of_clips(names: tuple[str, ...]) -> None:
    view = ClipView(ClipSampler(2), (v2.Identity(),), train=False)
    sample = marked()
    with pytest.raises(
        ValueError, match=f"takes masks of the frames of videos, and the samples have {', '.join(names)} of"
    ):
        view(sample._replace(extras={name: sample.extras[name] for name in names}))
