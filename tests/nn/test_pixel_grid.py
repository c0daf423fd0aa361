import pytest
import torch

from jepa_lightning.nn import PixelGrid


def test_each_number_is_the_mean_of_an_area_of_a_channel() -> None:
    encoder, images = PixelGrid(2, (2, 4)), torch.rand(3, 2, 8, 16)
    found = encoder(images)
    assert found.shape == (3, 1, encoder.width) == (3, 1, 16)
    torch.testing.assert_close(found[1, 0, 8 + 4 + 3], images[1, 1, 4:, 12:].mean())
    torch.testing.assert_close(found[2, 0, 0], images[2, 0, :4, :4].mean())


def test_a_grid_of_the_image_is_the_image() -> None:
    images = torch.rand(2, 3, 5, 7)
    assert torch.equal(PixelGrid(3, (5, 7))(images)[:, 0], images.flatten(1))
    assert not [*PixelGrid(3).parameters()]


@pytest.mark.parametrize(
    ("grid", "fault"), [((0, 8), r"grid=\[0, 8\] is out of range"), ((8,), r"grid=\[8\] has 1 numbers: give two")]
)
def test_grids_that_are_none_are_one_line(grid: tuple[int, ...], fault: str) -> None:
    with pytest.raises(ValueError, match=f"^PixelGrid: {fault}"):
        PixelGrid(2, grid)
