import pytest
import torch
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import binary_auroc

from jepa_lightning.energy import auroc


@pytest.mark.parametrize("levels", [3, 100_000])  # with many ties, and with few
def test_it_is_the_auroc_of_scikit_learn_and_torchmetrics(levels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(levels, (40,), generator=generator) / levels
    foreign = torch.randint(levels, (8, 9), generator=generator) / levels + 0.1 * (levels > 3)
    energies = torch.cat([true, foreign.flatten()])
    labels = torch.tensor([0] * 40 + [1] * 72)
    assert auroc(true, foreign) == pytest.approx(roc_auc_score(labels, energies), abs=1e-12)
    assert auroc(true, foreign) == pytest.approx(float(binary_auroc(energies, labels)), abs=1e-6)
    pairs = (foreign.flatten()[None] > true[:, None]).double() + 0.5 * (foreign.flatten()[None] == true[:, None])
    assert auroc(true, foreign) == pytest.approx(pairs.mean().item(), abs=1e-12)


def test_the_ends_and_the_middle() -> None:
    low, high = torch.tensor([0.0, 1.0]), torch.tensor([2.0, 3.0, torch.inf])
    assert auroc(low, high) == 1
    assert auroc(high, low) == 0
    assert auroc(torch.ones(5), torch.ones(3)) == 0.5


def test_what_is_no_energy_is_refused() -> None:
    with pytest.raises(ValueError, match="no foreign pair"):
        auroc(torch.ones(2), torch.ones(0))
    with pytest.raises(ValueError, match="1 of 2 true energies are NaN"):
        auroc(torch.tensor([0.0, torch.nan]), torch.ones(2))
