import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from jepa_lightning.probing import logistic
from jepa_lightning.probing.label_kinds import ClassLabel, TagLabel
from jepa_lightning.probing.logistic import fit_logistic


@pytest.fixture
def samples() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    target = torch.randint(0, 4, (120,))
    return torch.randn(120, 12) + torch.randn(4, 12)[target] * 0.7, target


@pytest.mark.parametrize("decay", [1e-1, 1e-3])
def test_it_is_the_logistic_regression_of_scikit_learn(
    samples: tuple[torch.Tensor, torch.Tensor], decay: float
) -> None:
    features, target = samples
    fitted = fit_logistic(features, target, ClassLabel(4), decay)
    reference = LogisticRegression(C=1 / (decay * len(target)), max_iter=2000, tol=1e-8)
    expected = reference.fit(features.numpy(), target.numpy()).predict_proba(features.numpy())
    found = fitted(features).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_blocks_of_rows_and_a_start_change_nothing(
    samples: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    features, target = samples
    whole = fit_logistic(features, target, ClassLabel(4), 1e-2)
    monkeypatch.setattr(logistic, "BLOCK", 4 * 7)  # rows come 7 at a time
    start = fit_logistic(features, target, ClassLabel(4), 1e-1)
    parts = fit_logistic(features, target, ClassLabel(4), 1e-2, start)
    torch.testing.assert_close(parts(features), whole(features), atol=5e-3, rtol=0)


def test_tags_are_fitted_one_by_one_and_samples_without_a_label_count_for_nothing(
    samples: tuple[torch.Tensor, torch.Tensor],
) -> None:
    features, target = samples
    tags = torch.stack([target % 2, target // 2], dim=1)
    fitted = fit_logistic(features[:100], tags[:100], TagLabel(2), 1e-2)
    tags[100:] = -1
    torch.testing.assert_close(
        fit_logistic(features, tags, TagLabel(2), 1e-2)(features), fitted(features), atol=5e-3, rtol=0
    )
    # the loss is averaged over the tags, so that each has half of it and the decay is twice as strong for each
    alone = LogisticRegression(C=1 / (2 * 1e-2 * 100), max_iter=2000, tol=1e-8)
    alone.fit(features[:100].numpy(), tags[:100, 0].numpy())
    np.testing.assert_allclose(fitted(features)[:, 0].numpy(), alone.decision_function(features.numpy()), atol=5e-3)
