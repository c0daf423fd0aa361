from functools import partial
from typing import Any

import pytest
import timm
import torch
from torch import nn

from jepa_lightning.nn import VisionTransformer


def tiny(**options: Any) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(**{"image_size": 32, "patch_size": 8, "width": 48, "depth": 3, "heads": 3, **options})


def test_equals_timm_with_the_same_weights() -> None:
    ours = tiny(registers=4).eval()
    theirs = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=3, num_heads=3, class_token=False, global_pool="avg",
        fc_norm=False, num_classes=0, norm_layer=partial(nn.LayerNorm, eps=1e-6), reg_tokens=4, no_embed_class=True,
    ).eval()  # fmt: skip
    theirs.load_state_dict(ours.state_dict())  # strict: the names are the same
    images = torch.randn(2, 3, 32, 32)
    expected = theirs.forward_features(images)
    assert expected.shape == (2, 4 + 16, 48)
    torch.testing.assert_close(ours(images), expected[:, 4:], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(images).mean(dim=1), theirs(images), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rope", [None, "exact"])
@pytest.mark.parametrize("keep", [None, torch.tensor([[0, 3, 9], [15, 2, 4]])])
def test_registers_are_seen_by_all_blocks_stand_nowhere_and_do_not_come_out(rope: Any, keep: Any) -> None:
    """Against each sample alone, with its tokens picked one by one and rotated registers given the angle 0."""
    model, images = tiny(registers=2, rope=rope).eval(), torch.randn(2, 3, 32, 32)
    found = model(images, keep=keep)
    first, _ = model(images, keep=keep, layers=(0, -1))
    for sample in range(2):
        rows = list(range(16)) if keep is None else keep[sample].tolist()
        tokens = model.patch_embed(images[sample : sample + 1])[0]
        tokens = tokens if rope else tokens + model.pos_embed[0]
        x = torch.stack([*(tokens[row] for row in rows), *model.reg_token[0]])[None]
        table = None
        if rope:
            none = torch.stack([torch.ones(model.rope_table.shape[-1]), torch.zeros(model.rope_table.shape[-1])])
            table = torch.stack([*(model.rope_table[:, row] for row in rows), none, none], dim=1)
        for i, block in enumerate(model.blocks):
            x = block(x, table)
            if i == 0:
                torch.testing.assert_close(first[sample], model.norm(x)[0, : len(rows)], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(found[sample], model.norm(x)[0, : len(rows)], atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        model.reg_token.add_(torch.randn_like(model.reg_token))
    assert not torch.allclose(model(images, keep=keep), found, atol=1e-3)  # they are seen


class TwoTokensOfASample(VisionTransformer):
    """Extra tokens that differ between samples, and know what is kept."""

    def extra_tokens(self, keep: torch.Tensor | None) -> torch.Tensor:
        assert keep is not None
        return keep[:, :2, None].float().expand(-1, -1, self.width) / 10


@pytest.mark.parametrize("rope", [None, "exact"])
def test_a_subclass_may_give_each_sample_tokens_of_its_own(rope: Any) -> None:
    torch.manual_seed(0)
    keep, images = torch.tensor([[0, 3, 9], [15, 2, 4]]), torch.randn(2, 3, 32, 32)
    model = TwoTokensOfASample(32, 8, 48, 3, 3, rope=rope).eval()
    found = model(images, keep=keep)
    assert found.shape == (2, 3, 48)
    for sample in range(2):  # as registers of these values, in an encoder of its own
        alone = tiny(registers=2, rope=rope).eval()
        state = {**model.state_dict(), "reg_token": keep[sample, None, :2, None].expand(-1, -1, 48) / 10}
        alone.load_state_dict(state)
        expected = alone(images[sample : sample + 1], keep=keep[sample : sample + 1])
        torch.testing.assert_close(found[sample : sample + 1], expected, atol=1e-5, rtol=1e-5)


def test_none_is_the_same_encoder_and_some_change_no_other_weight() -> None:
    plain, none, some = tiny(), tiny(registers=0), tiny(registers=3)
    assert list(none.state_dict()) == list(plain.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(none(images), plain(images))
    assert some.state_dict().keys() - plain.state_dict().keys() == {"reg_token"}
    assert all(torch.equal(some.state_dict()[name], value) for name, value in plain.state_dict().items())
    assert some.reg_token.shape == (1, 3, 48)
    assert tiny(registers=64).reg_token.std().item() == pytest.approx(0.02, rel=0.05)


def test_levels_clips_and_other_sizes_have_patch_tokens_alone() -> None:
    model = tiny(registers=3, levels=[0, 2], num_frames=4, images=True, rope="exact").eval()
    assert [each.shape for each in model(torch.randn(1, 3, 4, 32, 32), layers=model.levels)] == [(1, 32, 48)] * 2
    assert model(torch.randn(1, 3, 48, 32)).shape == (1, 24, 48)
    assert tiny(registers=3)(torch.randn(1, 3, 48, 32)).shape == (1, 24, 48)


@pytest.mark.parametrize("rope", [None, "exact"])
def test_they_learn_with_and_without_checkpointing(rope: Any) -> None:
    plain, saving = tiny(registers=2, rope=rope), tiny(registers=2, rope=rope, gradient_checkpointing=True)
    images = torch.randn(2, 3, 32, 32)
    for model in (plain, saving):
        model(images).pow(3).sum().backward()
    assert plain.reg_token.grad.abs().amax(dim=2).gt(0).all()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize("rope", [None, "exact"])
def test_half_precision_stays_as_it_is(rope: Any) -> None:
    images = torch.randn(2, 3, 32, 32)
    seen: dict[int, torch.dtype] = {}
    for number in (0, 2):
        model = tiny(registers=number, rope=rope)
        model.blocks[0].register_forward_hook(
            lambda block, inputs, output, number=number: seen.__setitem__(number, inputs[0].dtype)
        )
        with torch.autocast("cpu", torch.bfloat16):
            model(images)
    assert seen[2] == seen[0]
