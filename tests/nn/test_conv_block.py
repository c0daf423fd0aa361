import torch

from jepa_lightning.nn import ConvBlock


def test_without_weights_the_input_passes() -> None:
    block, x = ConvBlock(3), torch.randn(2, 3, 5, 7)
    assert not torch.equal(block(x), x)
    for parameter in block.conv2.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(block(x), x)
