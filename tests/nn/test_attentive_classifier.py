import pytest
import torch
from torch import Tensor, nn

from jepa_lightning.nn import AttentiveClassifier, AttentivePooler
from jepa_lightning.nn.attentive_pooler import Generation


def drawn(depth: int, generation: Generation, eps: float = 1e-5) -> AttentiveClassifier:
    """A classifier with every parameter far from where it starts."""
    torch.manual_seed(0)
    classifier = AttentiveClassifier(12, 5, depth, 2, generation, eps).double()
    for parameter in classifier.parameters():
        nn.init.normal_(parameter, std=0.5)
    return classifier


def tokens(scale: float = 1.0) -> Tensor:
    return scale * torch.randn(3, 7, 12, dtype=torch.float64)


@pytest.mark.parametrize("generation", [1, 2])
def test_a_logit_weighs_the_channels_of_what_one_query_has_gathered(generation: Generation) -> None:
    classifier = drawn(2, generation)
    pooler = AttentivePooler(12, 1, 2, 2, generation).double()
    pooler.load_state_dict(classifier.pooler.state_dict())
    given = tokens()
    found, gathered = classifier(given), pooler(given)
    assert found.shape == (3, 5)
    for sample in range(3):
        for name in range(5):
            weights, bias = classifier.linear.weight[name], classifier.linear.bias[name]
            expected = sum(weights[channel] * gathered[sample, 0, channel] for channel in range(12)) + bias
            torch.testing.assert_close(found[sample, name], expected)


@pytest.mark.parametrize("generation", [1, 2])
def test_neither_the_order_of_tokens_nor_other_samples_matter(generation: Generation) -> None:
    classifier, given = drawn(3, generation), tokens()
    whole = classifier(given)
    torch.testing.assert_close(classifier(given[:, torch.randperm(7)]), whole)
    torch.testing.assert_close(classifier(given[1:2]), whole[1:2])
    assert not torch.allclose(classifier(given[:, :6]), whole)  # but which tokens there are


def test_the_given_eps_is_that_of_all_norms() -> None:
    classifier = drawn(2, 2, eps=1e-6)
    norms = [layer.eps for layer in classifier.modules() if isinstance(layer, nn.LayerNorm)]
    assert norms == [1e-6] * 4  # two of the cross-attention and two of the block before it
    small = tokens(0.001)
    assert not torch.allclose(classifier(small), drawn(2, 2)(small))


def test_one_block_is_the_cross_attention() -> None:
    assert [len(drawn(depth, 1).pooler.blocks) for depth in (1, 4)] == [0, 3]
    names = {name.split(".")[0] for name in drawn(1, 1).state_dict()}
    assert names == {"pooler", "linear"}  # by which checkpoints of probes are converted
