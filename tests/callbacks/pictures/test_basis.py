import pytest
import torch
from sklearn.decomposition import PCA

from jepa_lightning.callbacks.pictures.basis import principal_scores


@pytest.fixture
def tokens():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(200, 16, generator=generator) * torch.arange(16, 0, -1) + 3


def test_scores_are_those_of_scikit_learn_up_to_signs(tokens):
    other = PCA(3, whiten=True).fit_transform(tokens.numpy()) * (199 / 200) ** -0.5
    found = principal_scores(tokens).numpy()
    assert abs(found) == pytest.approx(abs(other), abs=1e-3)
    assert (found.max(0) >= -found.min(0)).all()


def test_colors_stay_when_signs_order_and_directions_of_features_change(tokens):
    first = principal_scores(tokens)
    rotation, _ = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(1)))
    changed = tokens.clone()
    changed[:, 0] *= -0.9  # now weaker than the second one, and still stronger than the fourth
    alone, followed = principal_scores(changed @ rotation), principal_scores(changed @ rotation, first)
    assert (followed - first).square().mean() < 0.2 * (alone - first).square().mean()
    assert (followed - first).square().mean() < 0.1
    # a turn changes no distance between tokens
    torch.testing.assert_close(followed @ followed.T, alone @ alone.T, rtol=1e-3, atol=1e-3)


def test_tokens_of_fewer_components_are_zero_there(tokens):
    line = tokens[:, :1] * torch.ones(16)
    assert principal_scores(line)[:, 1:].abs().max() == 0
    assert principal_scores(tokens[:, :2]).shape == (200, 3)
    assert principal_scores(torch.full((5, 4), 7.0)).abs().max() == 0
    assert principal_scores(line, principal_scores(tokens)).isfinite().all()


def test_scores_of_other_tokens_are_not_followed(tokens):
    torch.testing.assert_close(principal_scores(tokens, torch.ones(7, 3)), principal_scores(tokens))


def test_features_that_are_not_finite_are_refused(tokens):
    tokens[3, 2] = torch.nan
    with pytest.raises(ValueError, match="the features are not finite"):
        principal_scores(tokens)
