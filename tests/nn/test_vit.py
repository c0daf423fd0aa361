from functools import partial

import pytest
import timm
import torch
from torch import nn

from jepa_lightning.nn import VIT_SIZES, VisionTransformer, compile_blocks, sincos_pos_embed, vit_size


def tiny(**options: object) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(**{"image_size": 32, "patch_size": 8, "width": 48, "depth": 3, "heads": 3, **options})


def test_equals_timm_with_the_same_weights() -> None:
    ours = tiny().eval()
    theirs = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=3, num_heads=3, class_token=False, global_pool="avg",
        fc_norm=False, num_classes=0, norm_layer=partial(nn.LayerNorm, eps=1e-6),
    ).eval()  # fmt: skip
    theirs.load_state_dict(ours.state_dict())  # strict: the names are the same
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(images), theirs.forward_features(images), atol=1e-5, rtol=1e-5)


def test_keep_equals_dropping_the_other_tokens_before_the_blocks() -> None:
    model, images = tiny().eval(), torch.randn(2, 3, 32, 32)
    keep = torch.tensor([[0, 3, 9], [15, 2, 4]])
    tokens = model.patch_embed(images) + model.pos_embed
    tokens = torch.stack([tokens[i, keep[i]] for i in range(2)])
    for block in model.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(model(images, keep=keep), model.norm(tokens))
    assert not torch.allclose(model(images, keep=keep), model(images)[:, :3], atol=1e-3)


def test_layers_come_normed_and_in_the_order_asked_for() -> None:
    model, images = tiny().eval(), torch.randn(2, 3, 32, 32)
    last, first = model(images, layers=(-1, 0))
    torch.testing.assert_close(last, model(images))
    torch.testing.assert_close(first, model.norm(model.blocks[0](model.patch_embed(images) + model.pos_embed)))


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="has 3 blocks"):
        tiny()(torch.randn(1, 3, 32, 32), layers=(3,))


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vit_tiny", 5.49), ("vit_small", 21.6), ("vit_base", 85.7), ("vit_large", 303.1), ("vit_huge", 630.7),
     ("vit_giant", 1011), ("vit_giant_xformers", 1011), ("vit_gigantic", 1842),
     ("vit_gigantic_xformers", 1842)],
)  # fmt: skip
def test_named_sizes_have_the_published_number_of_parameters(name: str, millions: float) -> None:
    with torch.device("meta"):
        model = VisionTransformer(224, 16, *VIT_SIZES[name])
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.002)


def test_the_giant_of_v_jepa_2_has_heads_of_width_64() -> None:
    size = VIT_SIZES["vit_giant_xformers"]
    assert size.width / size.heads == 64


def test_sizes_can_be_overridden_and_unknown_ones_name_the_near_one() -> None:
    assert vit_size("vit_tiny", depth=4) == (192, 4, 3, 4.0)
    with pytest.raises(ValueError, match="did you mean vit_small"):
        vit_size("vit_smal")


def test_rectangles_and_other_sizes_than_built_for() -> None:
    model = tiny(image_size=(32, 64))
    assert model.grid_size == (4, 8)
    assert model(torch.randn(1, 3, 32, 64)).shape == (1, 32, 48)
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 64, 48)
    with pytest.raises(ValueError, match="does not divide"):
        model(torch.randn(1, 3, 30, 64))


def test_interpolated_positions_of_a_constant_table_stay_constant() -> None:
    model = tiny()
    model.pos_embed.fill_(0.5)
    torch.testing.assert_close(model._positions((6, 7)), torch.full((1, 42, 48), 0.5))


def test_clips() -> None:
    model = tiny(num_frames=4)
    assert model.grid_size == (2, 4, 4)
    assert model.patch_embed.proj.weight.shape == (48, 3, 2, 8, 8)
    assert model(torch.randn(1, 3, 4, 32, 32)).shape == (1, 32, 48)
    assert model(torch.randn(1, 3, 8, 32, 32)).shape == (1, 64, 48)


def test_tokens_run_over_frames_then_rows_then_columns() -> None:
    model = tiny(num_frames=4)
    clip = torch.zeros(1, 3, 4, 32, 32)
    clip[:, :, 2:, 8:16, 24:] = 1  # tubelet 1, row 1, column 3
    moved = (model.patch_embed(clip) - model.patch_embed(torch.zeros_like(clip))).abs().sum(-1)
    assert moved.nonzero()[:, 1].tolist() == [1 * 16 + 1 * 4 + 3]


def test_checkpointing_changes_no_gradient() -> None:
    plain, saving = tiny(), tiny(gradient_checkpointing=True)
    images = torch.randn(2, 3, 32, 32)
    for model in (plain, saving):
        model(images).square().sum().backward()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_compiling_keeps_the_state_dict() -> None:
    model = tiny()
    names = list(model.state_dict())
    compile_blocks(model)
    assert list(model.state_dict()) == names


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 50 is not a multiple of heads 3"):
        tiny(width=50)
    for heads in (0, -1):
        with pytest.raises(ValueError, match=f"is not a multiple of heads {heads}: choose heads"):
            tiny(heads=heads)


def test_an_image_is_to_an_encoder_of_clips_a_tubelet_without_motion() -> None:
    model, image = tiny(num_frames=4).eval(), torch.randn(2, 3, 32, 32)
    still = torch.stack([image, image], dim=2)
    assert torch.equal(model(image), model(still))
    assert model(image).shape == (2, 16, 48)


def test_a_shorter_clip_has_the_first_positions() -> None:
    model = tiny(num_frames=8).eval()
    assert torch.equal(model._positions((2, 4, 4)), model.pos_embed[:, :32])


def test_order_and_shares_of_the_position_table() -> None:
    assert torch.equal(tiny(pos_order="hw").pos_embed[0], sincos_pos_embed(48, (4, 4), order="hw"))
    clips = tiny(num_frames=4, pos_uniform=True)
    assert torch.equal(clips.pos_embed[0], sincos_pos_embed(48, (2, 4, 4), uniform=True))


def test_rotary_positions_have_no_table_in_the_state_dict() -> None:
    model, images = tiny(rope="exact").eval(), torch.randn(2, 3, 32, 32)
    assert not [name for name in model.state_dict() if ("embed" in name and "patch" not in name) or "rope" in name]
    keep = torch.tensor([[0, 3, 9], [15, 2, 4]])
    assert not torch.allclose(model(images, keep=keep), model(images, keep=keep.flip(0)), atol=1e-3)
