from functools import partial

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import nn

from jepa_lightning.nn.rope import rope_table
from jepa_lightning.nn.transformer_block import TransformerBlock, build_blocks, run_block


@pytest.mark.parametrize("rope", [False, True])
def test_drop_path_rises_to_the_last_block_and_recomputing_changes_nothing(rope: bool) -> None:
    torch.manual_seed(0)
    blocks = build_blocks(24, 3, 2, drop_path=0.2)
    rates = [1 - float(getattr(block.drop_path, "keep", 1.0)) for block in blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2])
    tokens, table = torch.randn(2, 4, 24, requires_grad=True), rope_table((2, 2), 12, "exact") if rope else None
    kept, again = (run_block(blocks[0], tokens, table, recompute) for recompute in (False, True))
    assert torch.equal(kept, again)
    first, second = (torch.autograd.grad(out.square().sum(), tokens)[0] for out in (kept, again))
    assert torch.equal(first, second)


def test_a_block_is_timms() -> None:
    theirs = Block(48, 3, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6)).eval()  # type: ignore[arg-type]
    ours = TransformerBlock(48, 3).eval()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 7, 48)
    at_the_origin = torch.stack([torch.ones(7, 12), torch.zeros(7, 12)])
    for table in (None, at_the_origin):
        torch.testing.assert_close(ours(x, table), theirs(x), atol=1e-5, rtol=1e-5)
