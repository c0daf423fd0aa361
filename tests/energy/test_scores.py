import pytest
import torch

from jepa_lightning.energy import anomaly_score


def test_scores_are_those_of_numpy_by_hand() -> None:
    energies = torch.rand(5, 36, generator=torch.Generator().manual_seed(0))
    kinds = ("mean", "max", "top", "contrast")
    for row, mean, high, top, contrast in zip(
        energies.tolist(), *(anomaly_score(energies, how).tolist() for how in kinds), strict=True
    ):
        ranked = sorted(row, reverse=True)
        assert mean == pytest.approx(sum(row) / 36)
        assert high == pytest.approx(ranked[0])
        assert top == pytest.approx(sum(ranked[:4]) / 4)
        assert contrast == pytest.approx(top - ranked[18])  # torch's median is the lower of two
    assert torch.equal(anomaly_score(energies), anomaly_score(energies, "top"))
    assert torch.equal(anomaly_score(energies[:, :4], "top"), anomaly_score(energies[:, :4], "max"))


def test_what_is_no_score_is_refused() -> None:
    for wrong in (torch.zeros(3), torch.zeros(3, 0)):
        with pytest.raises(ValueError, match=r"takes energies \[B, N\] of one part or more, got \[3"):
            anomaly_score(wrong)
    with pytest.raises(ValueError, match="no score 'median': choose one of mean, max, top, contrast"):
        anomaly_score(torch.zeros(3, 2), "median")  # type: ignore[arg-type]
