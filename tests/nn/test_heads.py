import torch
from torch.nn import functional as F

from jepa_lightning.nn import projection_head


def test_two_layers_with_a_normalised_hidden_one():
    torch.manual_seed(0)
    head = projection_head(6, 10, 4)
    features = torch.randn(8, 6)
    first, norm, _, second = head
    hidden = features @ first.weight.T + first.bias
    hidden = (hidden - hidden.mean(0)) / torch.sqrt(hidden.var(0, correction=0) + norm.eps)
    expected = F.gelu(hidden) @ second.weight.T + second.bias
    torch.testing.assert_close(head(features), expected, atol=1e-5, rtol=1e-5)
    assert expected.shape == (8, 4)
