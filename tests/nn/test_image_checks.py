import re
from typing import Any

import pytest
import torch

from jepa_lightning.nn.image_checks import check_images, check_sizes


def test_what_fits_is_taken() -> None:
    check_sizes("Net", "grid", [1, 8])
    check_sizes("Net", "blocks", [0], least=0)
    check_images(torch.zeros(3, 2, 5, 7), 2, (5, 7))


@pytest.mark.parametrize(("numbers", "given"), [([], "[]"), ([0], "0"), ([4, -1], "[4, -1]"), ([1.5], "1.5")])
def test_sizes_that_no_network_has_are_named(numbers: Any, given: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"Net: grid={given} is out of range")):
        check_sizes("Net", "grid", numbers)


@pytest.mark.parametrize(
    ("shape", "line"),
    [
        ((1, 3, 5, 7), "images of 2 channels, got 3: set in_channels"),
        ((1, 2, 7, 5), "images of 5x7, got 7x5: set image_size"),
    ],
)
def test_images_of_another_kind_are_refused(shape: tuple[int, ...], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        check_images(torch.zeros(shape), 2, (5, 7))
