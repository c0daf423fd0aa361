from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torchmetrics.classification import MulticlassJaccardIndex

from jepa_lightning.evaluation.dense import DenseTally, dense
from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.tasks import Settings


def table(mask: torch.Tensor, tokens: torch.Tensor, **more: Any) -> Table:
    return Table({"tokens": tokens.half().numpy(), "mask": mask.to(torch.uint8).numpy(), **more}, {})


def test_miou_is_that_of_torchmetrics_and_so_is_that_of_drawn_images() -> None:
    torch.manual_seed(0)
    outputs, target = torch.randn(12, 4, 6, 6), torch.randint(0, 3, (12, 6, 6))
    outputs[:, 3] = -10  # a class that is neither there nor found
    target[0, :2] = 255
    tally = DenseTally(4, [])
    tally.add(outputs, target)
    metric = MulticlassJaccardIndex(4, ignore_index=255)
    assert tally.value == pytest.approx(float(metric(outputs, target)))
    rows = torch.randint(12, (12,))
    weights = torch.bincount(rows, minlength=12).double()[None]
    assert float(tally.figures(weights)["miou"]) == pytest.approx(float(metric(outputs[rows], target[rows])))


def test_figures_of_depth_are_those_of_all_pixels() -> None:
    torch.manual_seed(0)
    outputs, target = torch.randn(5, 1, 4, 4), torch.randn(5, 4, 4)
    target[2] = torch.nan
    tally = DenseTally(None, [])
    tally.add(outputs, target)
    error, known = (outputs[:, 0] - target)[~target.isnan()], target[~target.isnan()]
    found = {name: float(value) for name, value in tally.figures().items()}
    assert found["rmse"] == pytest.approx(float(error.square().mean().sqrt()))
    assert found["mae"] == pytest.approx(float(error.abs().mean()))
    assert found["r2"] == pytest.approx(float(1 - error.square().sum() / (known - known.mean()).square().sum()))


def test_a_perfect_encoder_scores_one_and_a_constant_one_the_background() -> None:
    torch.manual_seed(0)
    mask = (torch.rand(60, 4, 4) > 0.6).long()
    perfect, constant = F.one_hot(mask, 2).flatten(1, 2).float() * 4, torch.ones(60, 16, 2)
    found, other = (
        dense(
            "segmentation",
            *(table(mask[half], tokens[half]) for half in (slice(40), slice(40, 60))),
            (4, 4),
            Settings(),
        )
        for tokens in (perfect, constant)
    )
    assert found["mask"]["miou"] == found["mask"]["pixel_accuracy"] == 1
    share = float((mask[40:] == 0).float().mean())
    assert other["mask"]["miou"] == pytest.approx(share / 2)
    assert other["mask"]["pixel_accuracy"] == pytest.approx(share)
    assert other["mask"]["interval"][0] < other["mask"]["miou"] < other["mask"]["interval"][1]


def test_depth_is_read_from_tokens() -> None:
    torch.manual_seed(0)
    depth = torch.rand(60, 4, 4) * 3
    tokens = torch.stack([depth, depth.square(), torch.randn(60, 4, 4)], dim=3).flatten(1, 2)
    halves = [table(depth[part] * 0, tokens[part], depth=depth[part].numpy()) for part in (slice(40), slice(40, 60))]
    assert dense("depth", *halves, (4, 4), Settings())["depth"]["r2"] > 0.5


def test_clips_are_judged_on_all_frames_and_weighed_as_one() -> None:
    torch.manual_seed(0)
    outputs, target = torch.randn(6 * 4, 3, 5, 5), torch.randint(0, 3, (6 * 4, 5, 5))
    tally, metric = DenseTally(3, [], frames=4), MulticlassJaccardIndex(3)
    tally.add(outputs[:8], target[:8])
    tally.add(outputs[8:], target[8:])
    assert len(tally.counts) == 6
    assert tally.value == pytest.approx(float(metric(outputs, target)))
    third = torch.zeros(1, 6, dtype=torch.double)
    third[0, 2] = 1
    assert float(tally.figures(third)["miou"]) == pytest.approx(float(metric(outputs[8:12], target[8:12])))


def test_tokens_of_a_tubelet_tell_all_its_frames_and_no_others() -> None:
    torch.manual_seed(0)
    mask = (torch.rand(60, 2, 4, 4) > 0.6).long().repeat_interleave(2, dim=1)  # frames of a tubelet are alike
    tokens = F.one_hot(mask[:, ::2], 2).flatten(1, 3).float() * 4
    halves = [table(mask[part], tokens[part]) for part in (slice(40), slice(40, 60))]
    found = dense("segmentation", *halves, (2, 4, 4), Settings())["mask"]
    assert (found["miou"], found["samples"]) == (1, 20)
    mixed = [table(mask[part].flip(1), tokens[part]) for part in (slice(40), slice(40, 60))]
    assert dense("segmentation", *mixed, (2, 4, 4), Settings())["mask"]["miou"] < 0.6


def test_more_classes_than_names_are_refused() -> None:
    mask = torch.full((20, 2, 2), 3)
    with pytest.raises(ValueError, match="a mask has the class 3, and there are names of 2"):
        dense("segmentation", *[table(mask, torch.zeros(20, 4, 2))] * 2, (2, 2), Settings(), ["a", "b"])
