import pytest

from jepa_lightning.masking import CausalMask, MultiBlock3DMask
from jepa_lightning.masking.clip_masks import check_kinds, clip_masks

GRID = (4, 6, 6)


def test_each_kind_has_its_blocks_and_the_causal_one_comes_last() -> None:
    kinds = clip_masks(GRID, (8, 2), (0.15, 0.7), (1, 2), min_keep=3)
    assert [type(kind) for kind in kinds] == [MultiBlock3DMask, MultiBlock3DMask, CausalMask]
    short, long, _ = (kind(2) for kind in kinds)
    # blocks extend over all frames, so tokens are counted in a frame
    assert short.target.shape[2] % 4 == long.target.shape[2] % 4 == 0
    assert long.context.shape[1] >= 3
    assert [type(kind) for kind in clip_masks(GRID, (8,), (0.15,))] == [MultiBlock3DMask]
    assert [type(kind) for kind in clip_masks(GRID, (), (), (1, 1))] == [CausalMask]


def test_incomplete_kinds_are_refused() -> None:
    check_kinds((8, 2), (0.15, 0.7), None)
    check_kinds((), (), (1, 2))
    with pytest.raises(ValueError, match="must be of one length"):
        check_kinds((8, 2), (0.15,), None)
    with pytest.raises(ValueError, match="give at least one kind of mask"):
        check_kinds((), (), None)
