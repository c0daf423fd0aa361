# B batch, N tokens, D width, C classes
import math

import pytest
import torch
from torch import Tensor

from jepa_lightning.probing.mask_label import MaskLabel, TokenHeads, classes_of_places


def slow_places(mask: Tensor, classes: int, grid: tuple[int, int, int]) -> list[int]:
    """Of one clip ``[T, H, W]``: pixel by pixel, over the window that adaptive pooling gives a place."""

    def window(place: int, places: int, size: int) -> range:
        return range(place * size // places, math.ceil((place + 1) * size / places))

    found = []
    for t in range(grid[0]):
        for row in range(grid[1]):
            for column in range(grid[2]):
                counts = [0] * (classes + 1)  # the last is that of pixels without a class
                for frame in window(t, grid[0], mask.shape[0]):
                    for y in window(row, grid[1], mask.shape[1]):
                        for x in window(column, grid[2], mask.shape[2]):
                            name = int(mask[frame, y, x])
                            counts[name if 0 <= name < classes else classes] += 1
                most = counts.index(max(counts))
                found.append(most if most < classes else -1)
    return found


@pytest.mark.parametrize(
    ("size", "tubelet", "grid"),
    [
        ((8, 12), 1, (1, 4, 6)),
        ((12, 4), 1, (1, 6, 2)),
        ((9, 9), 1, (1, 4, 4)),  # windows overlap where places do not divide the mask
        ((5, 6, 6), 2, (2, 3, 3)),
        ((1, 6, 6), 2, (1, 3, 3)),  # a frame that is shown as a tubelet
        ((4, 16, 2), 4, (1, 1, 1)),  # where an even distance would be 3 rows
        ((4, 16, 2), 2, (2, 1, 1)),
    ],
)
def test_a_place_has_the_class_that_pixels_are_counted_for(
    size: tuple[int, ...], tubelet: int, grid: tuple[int, int, int]
) -> None:
    torch.manual_seed(0)
    mask = torch.randint(0, 3, (4, *size))
    mask[torch.rand(mask.shape) < 0.3] = 255
    found = classes_of_places(mask, 3, math.prod(grid), tubelet)
    clips = mask if mask.ndim == 4 else mask[:, None]
    assert found.tolist() == [slow_places(clip, 3, grid) for clip in clips]
    assert len(found.unique()) > 1


def test_places_on_no_grid_are_refused() -> None:
    mask = torch.zeros(2, 6, 4, 6, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^5 tokens are on no grid over masks of 4 x 6 pixels\.$"):
        classes_of_places(mask[0], 3, 5)
    with pytest.raises(ValueError, match=r"^17 tokens are on no grid over 3 times masks of 4 x 6 pixels\.$"):
        classes_of_places(mask, 3, 17, tubelet=2)


@pytest.mark.parametrize("value", [3, 254, -1])
def test_a_number_that_is_no_class_counts_as_none_and_is_an_offender(value: int) -> None:
    mask, kind = torch.zeros(2, 4, 4, dtype=torch.int64), MaskLabel(3)
    mask[0, 0, 0] = 255
    assert kind.offender(mask) == -torch.inf
    mask[1, :2] = value
    assert classes_of_places(mask, 3, 4).tolist() == [[0, 0, 0, 0], [-1, -1, 0, 0]]
    assert kind.offender(mask) == value
    assert kind.refusal(float(kind.offender(mask))) == (
        f"a pixel of class {value}: classes run from 0 to 2, and 255 is unlabeled. Correct the masks or num_classes."
    )


def test_255_is_never_a_class() -> None:
    mask = torch.full((1, 2, 2), 255)
    assert classes_of_places(mask, 300, 4).tolist() == [[-1] * 4]
    assert not MaskLabel(300).labeled(mask).any()


def test_a_mask_with_one_labeled_pixel_is_labeled() -> None:
    mask = torch.full((2, 3, 4, 4), 255)
    mask[1, 2, 3, 3] = 0
    assert MaskLabel(2, tubelet=3).labeled(mask).tolist() == [False, True]


def test_the_loss_of_a_clip_is_summed_over_masks_and_averaged_over_places() -> None:
    torch.manual_seed(0)
    kind, outputs, mask = MaskLabel(3, tubelet=2), torch.randn(2, 12, 3), torch.randint(0, 3, (2, 4, 4, 6))
    mask[1, 2:] = 255  # the second tubelet has no class
    places = [slow_places(clip, 3, (2, 2, 3)) for clip in mask]
    assert places != [slow_places(clip, 3, (4, 1, 3)) for clip in mask]  # those of single frames
    expected = 0.0
    for logits, names in zip(outputs, places, strict=True):
        for row, name in zip(logits, names, strict=True):
            if name >= 0:
                expected += float(row.exp().sum().log() - row[name]) / 12
    assert float(kind.loss(outputs, mask)) == pytest.approx(expected, rel=1e-5)
    scored, truth = kind.scored(outputs, mask)
    assert torch.equal(scored, outputs.reshape(24, 3))
    assert truth.tolist() == [*places[0], *places[1]]
    assert truth[-6:].tolist() == [-1] * 6


def test_the_score_leaves_out_places_without_a_class_and_classes_that_are_neither_there_nor_found() -> None:
    metric = MaskLabel(4).metrics()["miou"]
    metric.update(torch.eye(4)[[0, 0, 1, 2]], torch.tensor([0, 1, 1, -1]))
    assert float(metric.compute()) == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_each_token_is_classified_by_itself() -> None:
    torch.manual_seed(0)
    heads = TokenHeads(4, [3], torch.device("cpu"))
    torch.nn.init.normal_(heads.heads[0].weight)  # type: ignore[arg-type]
    tokens = torch.randn(2, 5, 4) * 3 + 1
    [[found]] = heads(tokens)
    assert found.shape == (2, 5, 3)
    every = tokens.reshape(10, 4)
    normed = (tokens - every.mean(0)) / every.var(0, unbiased=False).sqrt()
    torch.testing.assert_close(found, normed @ heads.heads[0].weight.T, rtol=1e-4, atol=1e-4)  # type: ignore[operator]
    # one image has many tokens to normalize by, so a batch of one is trained on
    assert heads.least == 1
    assert heads(tokens[:1])[0][0].isfinite().all()
