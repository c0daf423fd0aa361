import pytest
import torch

from jepa_lightning.nn import ClassTokenViT


def test_the_class_token_alone_comes_out_and_sees_all_patches() -> None:
    torch.manual_seed(0)
    network = ClassTokenViT((8, 12), 4, width=24, depth=2, heads=3, in_channels=2).eval()
    image = torch.randn(2, 2, 8, 12)
    found = network(image)
    assert found.shape == (2, 1, 24)
    for row in (0, 4):
        for column in (0, 4, 8):
            changed = image.clone()
            changed[:, :, row : row + 4, column : column + 4] += 1
            assert (network(changed) - found).abs().max() > 1e-5
    first, last = network(image, layers=[0, -1])
    assert torch.equal(last, found)
    assert not torch.allclose(first, found)


def test_equals_the_blocks_of_the_vision_transformer_on_one_more_token() -> None:
    torch.manual_seed(0)
    network = ClassTokenViT((8, 8), 4, width=24, depth=2, heads=3, in_channels=2).eval()
    image = torch.randn(3, 2, 8, 8)
    tokens = network.patch_embed.proj(image).flatten(2).transpose(1, 2) + network.pos_embed
    tokens = torch.cat([tokens, network.class_token.expand(3, -1, -1)], dim=1)  # attention knows no order
    for block in network.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(network(image), network.norm(tokens[:, -1:]))


def test_a_part_of_the_image_is_refused() -> None:
    network = ClassTokenViT((8, 8), 4, width=24, depth=1, heads=3)
    with pytest.raises(ValueError, match="leave keep out"):
        network(torch.zeros(1, 3, 8, 8), keep=torch.zeros(1, 1, dtype=torch.long))
