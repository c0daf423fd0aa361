from types import SimpleNamespace

import pytest
import torch

from jepa_lightning.nn.token_maps import as_maps, token_grid

PLAIN = object()  # an encoder that tells no patch


def patched(*patch: int) -> SimpleNamespace:
    return SimpleNamespace(patch=patch)


@pytest.mark.parametrize(
    ("encoder", "size", "tokens", "grid"),
    [
        (patched(8, 4), (32, 48), 48, (4, 12)),
        (patched(8, 8), (36, 47), 20, (4, 5)),  # what is left of a view has no token
        (patched(2, 8, 8), (6, 32, 16), 24, (3, 4, 2)),
        (patched(2, 8, 8), (2, 32, 16), 8, (1, 4, 2)),  # a clip of one tubelet has a time axis too
        (patched(2, 8, 8), (32, 16), 8, (4, 2)),  # an image, of which an encoder of clips has one tubelet
        (patched(2, 8, 8), (32, 16), 16, (2, 4, 2)),  # or two
        (patched(8, 8), (4, 32, 16), 32, (4, 4, 2)),  # each frame by itself
        (PLAIN, (32, 32), 49, (7, 7)),
        (PLAIN, (64, 16), 16, (8, 2)),
        (PLAIN, (16, 64), 16, (2, 8)),
        (PLAIN, (224, 160), 140, (14, 10)),
        (PLAIN, (100, 140), 20, (4, 5)),
        (PLAIN, (4, 32, 32), 16, (1, 4, 4)),
        (PLAIN, (32, 32), 1, (1, 1)),
        (PLAIN, (64, 8), 1, (1, 1)),  # where an even distance would be 3 rows
        (PLAIN, (8, 64), 1, (1, 1)),
        (SimpleNamespace(patch=None), (32, 32), 16, (4, 4)),
    ],
)
def test_the_grid_is_that_of_the_patches_or_evenly_spaced(
    encoder: object, size: tuple[int, ...], tokens: int, grid: tuple[int, ...]
) -> None:
    assert token_grid(encoder, torch.zeros(2, 3, *size), tokens) == grid


@pytest.mark.parametrize(
    ("encoder", "size", "tokens"),
    [
        (PLAIN, (32, 32), 17),  # such as those of a grid and a class token
        (patched(8, 8), (32, 32), 17),
        (patched(8, 8), (32, 32), 4),
        (patched(8, 8), (32, 32), 32),  # an image has no second frame
        (PLAIN, (64, 32), 5),
        (patched(16, 16), (8, 8), 4),  # no place of that patch fits into the view
        (patched(16, 16), (4, 8, 8), 4),
        (PLAIN, (32, 32), 0),
    ],
)
def test_tokens_on_no_grid_are_refused(encoder: object, size: tuple[int, ...], tokens: int) -> None:
    message = (
        f"the {tokens} tokens of a view of {size[-2]} x {size[-1]} pixels are not the places of a grid: give the "
        "encoder an attribute patch, or features that are maps."
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        token_grid(encoder, torch.zeros(2, 3, *size), tokens)


@pytest.mark.parametrize("grid", [(2, 3), (4, 2, 3)])
def test_tokens_stand_row_by_row_and_frame_by_frame(grid: tuple[int, ...]) -> None:
    tokens = torch.randn(2, torch.Size(grid).numel(), 5)
    maps = as_maps(tokens, grid)
    assert maps.shape == (2, 5, *grid)
    frames = maps if len(grid) == 3 else maps[:, :, None]
    number = 0
    for t in range(frames.shape[2]):
        for row in range(2):
            for column in range(3):
                assert torch.equal(frames[:, :, t, row, column], tokens[:, number])
                number += 1
