import torch
from torch import nn

from jepa_lightning.nn.action_encoder import action_encoder


def test_is_the_papers_whose_first_layer_is_a_convolution_over_one_place() -> None:
    network, actions = action_encoder(4, 6), torch.randn(2, 3, 4)
    conv = nn.Conv1d(4, 10, kernel_size=1)
    conv.weight.data, conv.bias.data = network[0].weight.data[..., None], network[0].bias.data
    hidden = nn.functional.silu(network[1](conv(actions.transpose(1, 2)).transpose(1, 2)))
    assert hidden.shape == (2, 3, 24)
    torch.testing.assert_close(network(actions), network[3](hidden))
