import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from jepa_lightning.probing import neighbors
from jepa_lightning.probing.label_kinds import ClassLabel, ValueLabel
from jepa_lightning.probing.neighbors import neighbor_outputs

TEMPERATURE = 0.1


def weights(distance: np.ndarray) -> np.ndarray:
    return np.exp((1 - distance) / TEMPERATURE)


@pytest.mark.parametrize("k", [1, 7, 500])
def test_votes_are_those_of_scikit_learn_in_blocks_too(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "BLOCK", 60 * 4)  # 4 queries at a time
    torch.manual_seed(0)
    bank, queries, target = torch.randn(60, 5), torch.randn(30, 5), torch.randint(0, 3, (60,))
    parts = list(neighbor_outputs(bank, target, queries, ClassLabel(3), [k], [TEMPERATURE]))
    assert len(parts) == 8
    found = torch.cat([outputs[k, TEMPERATURE] for _, outputs in parts])
    reference = KNeighborsClassifier(min(k, 60), weights=weights, metric="cosine", algorithm="brute")
    expected = reference.fit(bank.numpy(), target.numpy()).predict_proba(queries.numpy())
    np.testing.assert_allclose((found / found.sum(dim=1, keepdim=True)).numpy(), expected, atol=1e-5)


def test_values_are_those_of_scikit_learn() -> None:
    torch.manual_seed(0)
    bank, queries, target = torch.randn(40, 5), torch.randn(9, 5), torch.randn(40, 2)
    [(rows, outputs)] = neighbor_outputs(bank, target, queries, ValueLabel(2), [3, 5], [TEMPERATURE])
    assert list(range(9))[rows] == list(range(9))
    reference = KNeighborsRegressor(5, weights=weights, metric="cosine", algorithm="brute")
    expected = reference.fit(bank.numpy(), target.numpy()).predict(queries.numpy())
    np.testing.assert_allclose(outputs[5, TEMPERATURE].numpy(), expected, atol=1e-5)
