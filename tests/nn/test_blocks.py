import pytest
import torch

from jepa_lightning.nn.blocks import build_blocks, run_block
from jepa_lightning.nn.rope import rope_table


@pytest.mark.parametrize("rope", [False, True])
def test_drop_path_rises_to_the_last_block_and_recomputing_changes_nothing(rope: bool) -> None:
    torch.manual_seed(0)
    blocks = build_blocks(24, 3, 2, drop_path=0.2, rope=rope)
    rates = [getattr(block.drop_path if rope else block.drop_path1, "drop_prob", 0.0) for block in blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2])
    tokens, table = torch.randn(2, 4, 24, requires_grad=True), rope_table((2, 2), 12, "exact") if rope else None
    kept, again = (run_block(blocks[0], tokens, table, recompute) for recompute in (False, True))
    assert torch.equal(kept, again)
    first, second = (torch.autograd.grad(out.square().sum(), tokens)[0] for out in (kept, again))
    assert torch.equal(first, second)
