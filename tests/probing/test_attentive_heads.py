import copy

import pytest
import torch

from jepa_lightning.probing.attentive_heads import AttentiveHeads

WIDTH = 12


@pytest.mark.parametrize("normalize", [True, False])
def test_each_label_has_a_query_and_a_classifier(normalize):
    torch.manual_seed(0)
    heads = AttentiveHeads(WIDTH, [3, 5], variants=1, depth=1, heads=2, generation=2, normalize=normalize)
    pooler, *classifiers = heads.variants[0]
    tokens = torch.randn(4, 6, WIDTH) * torch.arange(1.0, WIDTH + 1) + 5
    (logits,) = heads(tokens)
    if normalize:
        tokens = (tokens - tokens.mean(dim=(0, 1))) / tokens.std(dim=(0, 1), correction=0)
    assert [found.shape for found in logits] == [(4, 3), (4, 5)]
    for number, classifier in enumerate(classifiers):
        alone = copy.deepcopy(pooler)
        alone.query_tokens.data = pooler.query_tokens[:, number : number + 1].clone()
        torch.testing.assert_close(logits[number], classifier(alone(tokens)[:, 0]))


def test_the_norm_is_that_of_all_tokens_seen_and_is_shared_by_the_variants():
    torch.manual_seed(0)
    heads = AttentiveHeads(WIDTH, [3], variants=2, depth=1, heads=2, generation=2)
    tokens = torch.randn(40, 6, WIDTH) * 3 + 7
    for _ in range(200):
        heads(tokens)
    mean, variance = heads.statistics()
    torch.testing.assert_close(mean, tokens.mean(dim=(0, 1)), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(variance, tokens.var(dim=(0, 1)), rtol=1e-3, atol=1e-3)
    heads.eval()
    (one,), (two,) = heads(tokens[:1])
    assert torch.equal(one, two)
    torch.testing.assert_close(one, heads(tokens)[0][0][:1])
    assert AttentiveHeads(WIDTH, [3], 1, 1, 2, 2, normalize=False).statistics() == ()


def test_variants_start_alike_and_share_nothing():
    torch.manual_seed(0)
    heads = AttentiveHeads(64, [3], variants=3, depth=2, heads=2, generation=2)
    first, *others = (dict(variant.named_parameters()) for variant in heads.variants)
    for other in others:
        assert all(torch.equal(first[name], other[name]) for name in first)
        assert not {p.data_ptr() for p in first.values()} & {p.data_ptr() for p in other.values()}
    weights = torch.cat([p.detach().flatten() for p in first.values() if p.ndim > 1])
    assert float(weights.std()) == pytest.approx(0.02, rel=0.02)
    assert not any(first[name].any() for name in first if name.endswith("bias"))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="features of width 12 are not a multiple of num_heads 5: set a divisor"):
        AttentiveHeads(WIDTH, [3], variants=1, depth=1, heads=5, generation=2)
