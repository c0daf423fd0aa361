from typing import Any

import pytest
import torch

from jepa_lightning.nn import VisionTransformer
from jepa_lightning.nn.levels import level_indices


def tiny(**options: Any) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(**{"image_size": 32, "patch_size": 8, "width": 48, "depth": 3, "heads": 3, **options})


def disturbed(model: VisionTransformer) -> VisionTransformer:
    """Norms start equal, so that a swap of them would not show."""
    with torch.no_grad():
        for parameter in model.norms_block.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model.eval()


def test_each_level_has_its_own_norm_and_the_last_one_is_the_final_norm() -> None:
    model, images = disturbed(tiny(levels=[0, -1])), torch.randn(2, 3, 32, 32)
    first = model.blocks[0](model.patch_embed(images) + model.pos_embed)
    second = model.blocks[1](first)
    last = model.blocks[2](second)
    early, final = model.norms_block
    for found, expected in zip(
        model(images, layers=(2, 0, 1)), (final(last), early(first), final(second)), strict=True
    ):
        torch.testing.assert_close(found, expected)
    assert torch.equal(model(images), model(images, layers=(-1,))[0])
    assert not hasattr(model, "norm")


def test_levels_change_no_other_weight_and_one_level_adds_no_parameter() -> None:
    plain, one, two = tiny(), tiny(levels=[-1]), tiny(levels=[1, 2])
    rest = {name: value for name, value in plain.state_dict().items() if not name.startswith("norm.")}
    for other in (one, two):
        state = other.state_dict()
        assert state.keys() - rest.keys() == {name for name in state if name.startswith("norms_block.")}
        assert all(torch.equal(state[name], value) for name, value in rest.items())
    sizes = [sum(each.numel() for each in model.parameters()) for model in (plain, one, two)]
    assert sizes == [sizes[0], sizes[0], sizes[0] + 2 * 48]


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([], r"levels \[\] are not all there: the encoder has 3 blocks, 0 to 2"),
        ([1, 3], r"levels \[1, 3\] are not all there"),
        ([0, 1], r"levels \[0, 1\] of an encoder of 3 blocks must rise, and end with the last block, 2 or -1"),
        ([1, 0, 2], "must rise"),
        ([2, -1], "must rise"),
    ],
)
def test_levels_that_are_none_are_refused(levels: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        level_indices(levels, 3)
