import numpy as np
import pytest
import torch

from jepa_lightning.callbacks.pictures.sheet import FRAME, GAP, MARGIN, Row, draw_sheet, enlarge


def items(number, panels=1, height=8, width=8, value=200):
    return torch.full((number, panels, 3, height, width), value, dtype=torch.uint8)


def count(image, color):
    return int((np.asarray(image) == color).all(-1).sum())


@pytest.mark.parametrize(
    ("height", "width", "shown"),
    [(8, 8, (96, 96)), (40, 40, (120, 120)), (48, 96, (96, 192)), (150, 150, (150, 150)), (384, 192, (192, 96))],
)
def test_small_images_are_enlarged_by_whole_numbers_and_large_ones_shrunk(height, width, shown):
    row = Row("images", items(2, height=height, width=width))
    assert count(draw_sheet([row], "title"), (200, 200, 200)) == 2 * shown[0] * shown[1]


def test_each_pixel_of_a_small_image_is_a_square():
    image = items(1)
    image[0, 0, :, 3, 5] = 7
    sheet = np.asarray(draw_sheet([Row("images", image)], "title"))
    rows, columns = np.nonzero((sheet == 7).all(-1))
    assert len(rows) == 144
    assert np.ptp(rows) == np.ptp(columns) == 11


def test_a_full_line_continues_below():
    one, two = (draw_sheet([Row("a", items(number)), Row("b", items(number))], "t") for number in (10, 12))
    assert two.height - one.height == 2 * (96 + GAP) + GAP
    assert two.width == one.width
    assert count(two, (200, 200, 200)) == 24 * 96 * 96


def test_panels_of_an_item_are_together_and_margins_equal():
    sheet = np.asarray(draw_sheet([Row("", items(2, panels=3))], ""))
    columns = np.nonzero((sheet == 200).all(-1).any(0))[0]
    assert [int(step) - 1 for step in np.diff(columns) if step > 1] == [2, 2, GAP, 2, 2]
    assert sheet.shape[1] - 1 - columns.max() == MARGIN


def test_frames_are_around_the_items_that_have_one():
    sheet = draw_sheet([Row("images", items(3), frames=[(0, 255, 0), None, (255, 0, 0)])], "title")
    assert count(sheet, (0, 255, 0)) == count(sheet, (255, 0, 0)) == 96**2 - (96 - 2 * FRAME) ** 2


def test_the_legend_has_its_colors():
    assert count(draw_sheet([Row("images", items(1))], "title", [((1, 2, 3), "block")]), (1, 2, 3)) > 50


def test_tokens_cover_their_pixels_also_where_they_do_not_divide_an_image():
    large = enlarge(torch.arange(6).view(2, 3), (5, 6))
    assert large.tolist() == [[0, 0, 1, 1, 2, 2]] * 3 + [[3, 3, 4, 4, 5, 5]] * 2
