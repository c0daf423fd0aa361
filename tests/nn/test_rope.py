import math

import pytest
import torch
from torch import Tensor

from jepa_lightning.nn import RopeStyle, VisionTransformer, rope_table, rotate
from jepa_lightning.nn.rope import take_positions

GRID = (3, 4, 5)


def slow(x: Tensor, place: tuple[int, int, int], style: str) -> Tensor:
    """One head ``[E]`` of one token, number by number."""
    third = 2 * ((len(x) // 3) // 2)
    out = x.clone()
    for axis, position in enumerate(place):
        for i in range(third // 2):
            first, second = axis * third + 2 * i, axis * third + 2 * i + 1
            for channel, sign, partner in ((first, -1, second), (second, 1, first)):
                k = i if style == "exact" else (channel - axis * third) % (third // 2)
                angle = position * 10000 ** (-k / (third / 2))
                out[channel] = x[channel] * math.cos(angle) + sign * x[partner] * math.sin(angle)
    return out


@pytest.mark.parametrize("style", ["exact", "vjepa2"])
@pytest.mark.parametrize("width", [6, 20, 32, 64])
def test_equals_a_rotation_by_hand(style: RopeStyle, width: int) -> None:
    x = torch.randn(1, 1, 60, width, dtype=torch.float64)
    turned = rotate(x, rope_table(GRID, width, style))[0, 0]
    for token in (0, 7, 23, 59):
        place = (token // 20, token % 20 // 5, token % 5)
        torch.testing.assert_close(turned[token], slow(x[0, 0, token], place, style), atol=1e-5, rtol=1e-5)


def test_exact_keeps_lengths_and_scores_depend_on_distance_alone() -> None:
    table = rope_table(GRID, 32, "exact")
    q, k = (torch.randn(32).expand(1, 1, 60, 32) for _ in range(2))
    torch.testing.assert_close(rotate(q, table).norm(dim=-1), q.norm(dim=-1))
    scores = (rotate(q, table) @ rotate(k, table).mT)[0, 0]
    # from (0, 0, 0) to (1, 1, 2), and from (1, 2, 1) to (2, 3, 3)
    torch.testing.assert_close(scores[0, 27], scores[31, 58], atol=1e-4, rtol=1e-4)
    as_released = rotate(q, rope_table(GRID, 32, "vjepa2"))
    assert (as_released.norm(dim=-1) / q.norm(dim=-1) - 1).abs().max() > 0.02


@pytest.mark.parametrize("width", [32, 64, 80])
def test_channels_that_no_axis_has_are_left_alone(width: int) -> None:
    rotated = 6 * (width // 3 // 2)
    x = torch.randn(2, 3, 60, width)
    turned = rotate(x, rope_table(GRID, width, "exact"))
    assert torch.equal(turned[..., rotated:], x[..., rotated:])
    assert (turned[..., 1:, :rotated] - x[..., 1:, :rotated]).abs().sum(dim=(0, 1, 2)).min() > 0


def test_an_image_is_the_first_frame_of_a_clip() -> None:
    assert torch.equal(rope_table((4, 5), 20, "exact"), rope_table(GRID, 20, "exact")[:, :20])


def test_positions_of_kept_tokens() -> None:
    table, keep = rope_table(GRID, 20, "exact"), torch.tensor([[0, 59, 7], [1, 2, 3]])
    x = torch.randn(2, 3, 60, 20)
    kept = torch.stack([x[i][:, keep[i]] for i in range(2)])
    whole = rotate(x, table)
    expected = torch.stack([whole[i][:, keep[i]] for i in range(2)])
    assert torch.equal(rotate(kept, take_positions(table, keep)), expected)


def test_half_precision_is_rotated_in_full() -> None:
    table, x = rope_table((64, 1, 1), 20, "exact"), torch.randn(1, 1, 64, 20).bfloat16()
    assert rotate(x, table).dtype == torch.bfloat16
    assert torch.equal(rotate(x, table), rotate(x.float(), table).bfloat16())


@pytest.mark.parametrize("size", [(2, 32, 32), (8, 32, 32), (4, 48, 24)])
def test_an_encoder_takes_other_lengths_and_sizes(size: tuple[int, int, int]) -> None:
    """What it gives is what one built for that size gives."""
    options = {"patch_size": 8, "width": 48, "depth": 2, "heads": 3, "rope": "exact"}
    built = VisionTransformer(32, num_frames=4, **options).eval()  # type: ignore[arg-type]
    other = VisionTransformer(size[1:], num_frames=size[0], **options).eval()  # type: ignore[arg-type]
    other.load_state_dict(built.state_dict())
    clip = torch.randn(2, 3, *size)
    torch.testing.assert_close(built(clip), other(clip))


@pytest.mark.parametrize(
    ("width", "style", "message"),
    [(5, "exact", "heads of width 5 are too narrow"), (32, "vjepa", "no rope_style 'vjepa': choose exact or vjepa2")],
)
def test_nonsense_is_refused(width: int, style: RopeStyle, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rope_table(GRID, width, style)


def test_positions_are_spread_over_the_pretrained_grid() -> None:
    """Of 16 rows they stay as they are; of 24 they are multiplied by 15/23; frames are not."""
    assert torch.equal(rope_table((3, 16, 16), 32, "exact", 16), rope_table((3, 16, 16), 32, "exact"))
    cos, sin = rope_table((3, 24, 24), 32, "exact", 16).unflatten(1, (3, 24, 24))
    angles = torch.atan2(sin, cos)[..., ::10]  # the lowest pair of each axis turns by the position itself
    assert angles[2, 0, 0, 0].item() == pytest.approx(2)
    assert angles[0, 3, 0, 1].item() == pytest.approx(3 * 15 / 23)
    assert angles[0, 0, 4, 2].item() == pytest.approx(4 * 15 / 23)
    assert torch.isfinite(rope_table((3, 1, 24), 32, "exact", 16)).all()
