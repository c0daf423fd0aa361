import numpy as np
import pytest
import torch

from jepa_lightning import MAE, VJEPA, SimCLR
from jepa_lightning.callbacks import MaskPictures
from jepa_lightning.callbacks.pictures.colors import DISTINCT
from jepa_lightning.callbacks.pictures.mask_pictures import HIDDEN, VEIL, drawn_masks
from jepa_lightning.callbacks.pictures.sheet import FONT, GAP, MARGIN
from jepa_lightning.data import PhysicsVideoDataModule
from jepa_lightning.types import Masks


def cell(sheet, row, item, side=96):
    """A panel of a sheet whose only line is full of eight items."""
    top = MARGIN + 2 * FONT + row * (side + GAP)
    left = sheet.shape[1] - MARGIN - side - (7 - item) * (side + GAP)
    return sheet[top : top + side, left : left + side].astype(int)


def token(panel, place, side=24):
    """The pixels of a token on a grid of four rows and columns."""
    top, left = place // 4 * side, place % 4 * side
    return panel[top : top + side, left : left + side]


class Fixed:
    """Masks that a test knows."""

    def __init__(self, context, target):
        self.context, self.target = context, target

    def __call__(self, batch_size, sizes=None):
        return Masks(*(torch.tensor([each] * batch_size) for each in (self.context, self.target)))


@pytest.fixture
def sheet(fit, tiny_ijepa, pixels):
    def build(context, target):
        module = tiny_ijepa()
        module.masks = Fixed(context, target)
        fit(MaskPictures(), module=module, max_steps=1)
        return pixels("step_000000/masks.png")

    return build


def test_context_and_targets_are_where_the_masks_say(sheet):
    found = sheet([0, 5], [[10, 11], [11, 15]])
    for item in range(8):
        image, context, targets = (cell(found, row, item) for row in range(3))
        assert image.std() > 5
        for place in range(16):
            original, veiled = token(image, place), np.round((1 - HIDDEN) * token(image, place) + HIDDEN * VEIL)
            assert np.array_equal(token(context, place), original if place in (0, 5) else veiled)
            assert np.array_equal(token(targets, place), veiled) == (place not in (10, 11, 15))
        # the border of each block, and the later one on top
        assert tuple(targets[50, 60]) == tuple(targets[48, 48]) == DISTINCT[0]
        assert tuple(targets[80, 73]) == tuple(targets[48, 95]) == DISTINCT[1]
        inside = 0.6 * token(image, 15)[8, 8] + 0.4 * np.array(DISTINCT[1])
        assert token(targets, 15)[8, 8] == pytest.approx(inside, abs=0.51)


def test_a_single_block_keeps_the_colors_of_the_image(sheet):
    found = sheet([0, 5], [[10, 11]])
    assert np.array_equal(token(cell(found, 2, 3), 10), token(cell(found, 0, 3), 10))
    assert not any((found == color).all(-1).any() for color in DISTINCT)


def test_masks_are_the_pipelines_and_follow_from_the_seed(tiny_ijepa):
    module, view = tiny_ijepa(), torch.rand(4, 3, 32, 32)
    ((first,), (same,), (other,)) = (drawn_masks(module, view, seed) for seed in (3, 3, 4))
    torch.manual_seed(3)
    wanted = module.masks(4)
    for mine, again, one in zip(first, same, wanted, strict=True):
        assert torch.equal(mine, again)
        assert torch.equal(mine, one)
    assert first.target.shape != other.target.shape or not torch.equal(first.target, other.target)


def test_pictures_of_two_seeds_and_of_two_steps_have_other_masks_and_the_same_images(fit, pixels):
    fit(MaskPictures(1), MaskPictures(1, seed=5, name="others"))
    first, later, others = map(pixels, ("step_000000/masks.png", "step_000001/masks.png", "step_000000/others.png"))
    assert np.array_equal(cell(first, 0, 0), cell(later, 0, 0))
    assert np.array_equal(cell(first, 0, 0), cell(others, 0, 0))
    assert not np.array_equal(cell(first, 1, 0), cell(later, 1, 0))
    assert not np.array_equal(cell(first, 1, 0), cell(others, 1, 0))


def test_clips_have_rows_for_each_kind_of_masks(quiet_trainer, pixels):
    module = VJEPA(
        "vit_tiny", 32, 8, num_frames=4, width=48, depth=1, heads=3, predictor_depth=1, predictor_dim=24, frame_step=1,
        num_blocks=[], spatial_scale=[], causal_frames=[1, 1],
    )  # fmt: skip
    data = PhysicsVideoDataModule(num_train=8, num_val=4, num_frames=4, image_size=32, batch_size=4, num_workers=0)
    quiet_trainer(callbacks=[MaskPictures()], max_steps=1).fit(module, datamodule=data)
    found = pixels("step_000000/masks.png")
    # two clips of two panels; the first half is the context, the second is predicted
    assert found.shape[0] == MARGIN * 2 + 2 * FONT + 3 * 96 + 2 * GAP
    right = found.shape[1] - MARGIN
    strips = [found[MARGIN + 2 * FONT + row * (96 + GAP) :][:96, right - 194 : right] for row in range(3)]
    early, late = slice(0, 96), slice(98, 194)
    assert np.array_equal(strips[1][:, early], strips[0][:, early])
    assert not np.array_equal(strips[1][:, late], strips[0][:, late])
    assert np.array_equal(strips[2][:, late], strips[0][:, late])
    assert not np.array_equal(strips[2][:, early], strips[0][:, early])


def test_masked_autoencoders_are_shown_too(fit, pictures):
    module = MAE("vit_tiny", 32, 8, width=48, depth=1, heads=3, decoder_depth=1, decoder_dim=24, decoder_heads=3)
    fit(MaskPictures(), module=module, max_steps=1)
    assert pictures() == ["step_000000/masks.png", "step_000001/masks.png"]


def test_a_method_without_masks_is_one_line(fit, recwarn, pictures):
    module = SimCLR("vit_tiny", image_size=32, width=48, depth=1, heads=3, patch_size=8)
    assert fit(MaskPictures(), module=module, max_steps=1).global_step == 1
    told = [str(each.message) for each in recwarn if "MaskPictures" in str(each.message)]
    assert told == ["MaskPictures: SimCLR draws no masks: leave the callback out. It draws nothing from here on."]
    assert pictures() == []
