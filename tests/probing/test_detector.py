from typing import Any

import pytest
import torch

from jepa_lightning.probing.detector import Detector


@pytest.fixture
def detector() -> Detector:
    torch.manual_seed(0)
    return Detector(width=8, classes=3, channels=8, hidden=16, regions=16, proposals=20).eval()


@torch.no_grad()
def found(detector: Detector, maps: torch.Tensor, size: tuple[int, int]) -> Any:
    detector.roi_heads.score_thresh = 0.0  # untrained scores are low
    return detector(maps, size)


@pytest.mark.parametrize("grid", [(4, 4), (6, 5), (7, 7)])
def test_boxes_are_in_pixels_of_the_view_whatever_a_token_covers(detector: Detector, grid: tuple[int, int]) -> None:
    maps = torch.randn(2, 8, *grid)
    small, large = found(detector, maps, (42, 30)), found(detector, maps, (84, 90))
    for one, other in zip(small, large, strict=True):
        assert len(one["boxes"])
        torch.testing.assert_close(one["boxes"] * torch.tensor([3.0, 2.0, 3.0, 2.0]), other["boxes"])
        assert torch.equal(one["scores"], other["scores"])
        assert one["boxes"].min() >= 0
        assert (one["boxes"].amax(dim=0) <= torch.tensor([30.0, 42.0, 30.0, 42.0]) + 1e-4).all()
        assert {*one["labels"].tolist()} <= {0, 1, 2}
    # torchvision guesses the levels' scales from sizes, which must be powers of two
    assert detector.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]


def test_anchors_are_where_their_tokens_are(detector: Detector) -> None:
    shown: list[Any] = []
    detector.rpn.anchor_generator.register_forward_hook(lambda *each: shown.append(each[2][0]))
    found(detector, torch.randn(1, 8, 7, 6), (70, 60))
    # of the third level, of one place a token, behind those of 32 x 32 and 16 x 16 places
    anchors = shown[0][3 * (32**2 + 16**2) :][: 3 * 8**2].view(8, 8, 3, 4)
    centers = (anchors[..., :2] + anchors[..., 2:]) / 2
    assert torch.equal(centers[3, 5, 1], torch.tensor([5 * 16.0, 3 * 16.0]))
    assert torch.equal(centers[7, 0, 0], torch.tensor([0.0, 7 * 16.0]))


def test_losses_have_a_gradient_in_images_without_boxes_too(detector: Detector) -> None:
    detector.train()
    targets = [
        {"boxes": torch.tensor([[4.0, 4.0, 20.0, 24.0]]), "labels": torch.tensor([2])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)},
    ]
    losses = detector(torch.randn(2, 8, 4, 4), (32, 32), targets)
    assert losses.keys() == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg"}
    torch.autograd.backward(sum(losses.values()))
    assert all(parameter.grad is not None for parameter in detector.parameters())
    alone = detector(torch.randn(2, 8, 4, 4), (32, 32), targets[1:] * 2)
    assert all(each.isfinite() for each in alone.values())
