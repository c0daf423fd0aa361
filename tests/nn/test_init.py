import pytest
import torch
from torch import nn

from jepa_lightning.nn import Predictor, VisionTransformer, init_xavier_weights


def test_initial_weights_are_rescaled_with_depth_only_if_asked() -> None:
    torch.manual_seed(0)
    rescaled, legacy = (VisionTransformer(32, 8, 192, 4, 3, legacy_init=legacy) for legacy in (False, True))
    for depth in range(4):
        expected = 0.02 / (2 * (depth + 1)) ** 0.5
        assert rescaled.blocks[depth].attn.proj.weight.std().item() == pytest.approx(expected, rel=0.05)
        assert rescaled.blocks[depth].mlp.fc2.weight.std().item() == pytest.approx(expected, rel=0.05)
        assert legacy.blocks[depth].attn.proj.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert rescaled.blocks[depth].attn.qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("patch", [4, 8, 16])
def test_patch_embedding_starts_at_the_scale_of_the_position_table_only_if_asked(patch: int) -> None:
    torch.manual_seed(0)
    model, pixels = VisionTransformer(32, patch, 192, 1, 3, legacy_init=False), torch.randn(64, 3, 32, 32)
    table = model.pos_embed.square().mean().sqrt()
    assert model.patch_embed(pixels).square().mean().sqrt().item() == pytest.approx(table.item(), rel=0.05)
    default = VisionTransformer(32, patch, 192, 1, 3)
    assert default.patch_embed.proj.weight.std().item() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize("legacy", [False, True])
def test_biases_start_at_zero_and_norms_at_identity(legacy: bool) -> None:
    for network in (
        VisionTransformer(32, 8, 48, 2, 3, legacy_init=legacy),
        Predictor((4, 4), 48, 24, 2, 3, legacy_init=legacy),
    ):
        for layer in network.modules():
            if isinstance(layer, nn.LayerNorm):
                assert torch.equal(layer.weight, torch.ones_like(layer.weight))
            if isinstance(layer, nn.LayerNorm | nn.Linear | nn.Conv2d):
                assert not layer.bias.any()


def test_xavier_weights_are_uniform_within_the_bound_of_their_layer() -> None:
    torch.manual_seed(0)
    model = VisionTransformer(32, 8, 192, 2, 3)
    init_xavier_weights(model)
    for layer, inputs, outputs in (
        (model.blocks[0].attn.qkv, 192, 3 * 192),
        (model.blocks[1].mlp.fc2, 4 * 192, 192),
        (model.patch_embed.proj, 3 * 8 * 8, 192),  # a convolution, initialized as a linear layer
    ):
        bound = (6 / (inputs + outputs)) ** 0.5
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)  # of a uniform distribution
        assert not layer.bias.any()
