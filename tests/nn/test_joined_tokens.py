import pytest
import torch

from jepa_lightning.nn import JoinedTokens


def test_each_token_is_normalized_and_has_weights_of_its_own() -> None:
    torch.manual_seed(0)
    layer, x = JoinedTokens(3, width=4, out=5), torch.randn(2, 3, 4)
    weights = layer.linear.weight.view(5, 3, 4)
    expected = layer.linear.bias.expand(2, 5).clone()
    for token in range(3):
        values = x[:, token]
        mean, std = values.mean(dim=1, keepdim=True), values.var(dim=1, correction=0, keepdim=True).add(1e-5).sqrt()
        expected += (values - mean) / std @ weights[:, token].T
    torch.testing.assert_close(layer(x), expected[:, None])


def test_another_number_of_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="an image has 4 tokens, and the layer was built for 3"):
        JoinedTokens(3, width=4, out=5)(torch.randn(2, 4, 4))
