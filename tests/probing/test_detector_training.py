import dataclasses

import pytest
import torch
from torchvision.ops import box_iou

from jepa_lightning.probing.detector import Detector
from jepa_lightning.probing.detector_training import DetectorRecipe, detections, fit_detector, share_of_rate

RECIPE = DetectorRecipe(
    ((3e-3, 0.0),), epochs=60, channels=16, hidden=64, regions=16, proposals=20, batch_size=4
)  # fmt: skip
CPU = torch.device("cpu")


def squares(number: int) -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Tokens ``[S, 36, 32]`` of a 6 x 6 grid of 5 px each, which say what a square of 2 x 2 of them is."""
    # the finest map of the pyramid has a quarter of the width, and a norm over channels leaves nothing of a single one
    generator = torch.Generator().manual_seed(0)
    tokens, targets, words = torch.zeros(number, 6, 6, 32), [], torch.randn(2, 32, generator=generator)
    for i in range(number):
        row, column, label = i % 5, i * 3 % 5, i % 2
        tokens[i, row : row + 2, column : column + 2] = words[label]
        box = torch.tensor([column, row, column + 2, row + 2]) * 5.0
        targets.append({"boxes": box[None], "labels": torch.tensor([label])})
    tokens += 0.1 * torch.randn(tokens.shape, generator=generator)
    return tokens.flatten(1, 2), targets


def fitted(seed: int = 0, steps: int | None = None) -> Detector:
    """Trained on 12 of 20 samples."""
    tokens, targets = squares(20)
    recipe = dataclasses.replace(RECIPE, steps=steps)
    rows, variant = torch.arange(12), recipe.variants[0]
    return fit_detector(tokens.numpy(), targets, rows, 2, (6, 6), (30, 30), recipe, variant, seed, CPU)


def test_the_seed_decides_and_nothing_else_is_drawn() -> None:
    torch.manual_seed(5)
    first = fitted(0, steps=2).state_dict()
    assert torch.initial_seed() == 5
    drawn = torch.rand(1)
    again, other = fitted(0, steps=2).state_dict(), fitted(1, steps=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["rpn.head.cls_logits.weight"], other["rpn.head.cls_logits.weight"])
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), drawn)


@pytest.mark.slow  # 3 s of CPU time each
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_detector_learns_where_things_are_and_what(seed: int) -> None:
    tokens, targets = squares(20)
    detector = fitted(seed)
    assert not detector.training
    right = []
    for found, truth in zip(
        detections(detector, tokens.numpy(), torch.arange(20), (6, 6), (30, 30), CPU), targets, strict=True
    ):
        # the first has the highest score; there may be none
        hit = bool((box_iou(found["boxes"][:1], truth["boxes"]) > 0.5).any())
        right.append(hit and bool(found["labels"][0] == truth["labels"][0]))
    assert all(right[:12])
    assert sum(right[12:]) >= 6


def test_the_rate_rises_and_falls_to_0() -> None:
    rates = [share_of_rate(step, 100) for step in range(100)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6])
    assert max(rates) > 0.99
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] < 1e-3
