import pytest
import torch

from jepa_lightning.probing.frame_decoder import FrameDecoder


@pytest.mark.parametrize(
    ("tokens", "grid", "shape", "doublings"),
    [
        (1, (1, 1), (2, 65, 65), 4),
        (6, (2, 3), (3, 32, 48), 4),
        (49, (7, 7), (1, 28, 28), 2),
        (16, (4, 4), (3, 4, 4), 0),
    ],
)
def test_tokens_of_any_grid_become_frames(
    tokens: int, grid: tuple[int, int], shape: tuple[int, int, int], doublings: int
) -> None:
    decoder = FrameDecoder(12, tokens, grid, shape)
    ((pixels,),) = decoder(torch.randn(5, tokens, 12))
    assert pixels.shape == (5, shape[0] * shape[1] * shape[2])
    assert sum(isinstance(block, torch.nn.Upsample) for block in decoder.blocks) == doublings


def test_a_token_is_drawn_at_its_own_place() -> None:
    torch.manual_seed(0)
    decoder = FrameDecoder(8, 64, (8, 8), (1, 64, 64)).eval()
    tokens = torch.zeros(1, 64, 8)
    ((before,),) = decoder(tokens)
    tokens[0, 8 * 6 + 1] = 5.0  # row 6, column 1
    ((after,),) = decoder(tokens)
    change = (after - before).abs().view(64, 64)
    row, column = divmod(int(change.argmax()), 64)
    assert (row // 8, column // 8) == (6, 1)
    assert change[:16, 32:].max() == 0


def test_it_can_be_small() -> None:
    decoder = FrameDecoder(512, 1, (1, 1), (2, 65, 65))
    assert sum(each.numel() for each in decoder.parameters()) < 1_000_000
