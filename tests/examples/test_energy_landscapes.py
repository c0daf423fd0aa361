import csv
from pathlib import Path

import pytest
import torch

from jepa_lightning.energy import pairwise_energy
from jepa_lightning.losses import info_nce


def test_both_have_the_same_weights_and_energies_and_other_losses(example):
    landscapes = example("energy_landscapes.py")
    models = []
    for name in ("I-JEPA", "InfoNCE"):
        torch.manual_seed(0)
        models.append(landscapes.build_models(temperature=0.1, content=0.0)[name])
    jepa, contrastive = models
    # built in turn from one seed, so the second is another one: its weights are copied
    contrastive.load_state_dict(jepa.state_dict())
    pipeline = jepa.pipeline()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    batch = pipeline.collate([pipeline.eval_transform(image) for image in images])
    energies = pairwise_energy(jepa, batch)
    assert torch.allclose(pairwise_energy(contrastive, batch), energies)
    assert torch.allclose(jepa.objective(batch, 0.0).loss, energies.diagonal().mean(), atol=1e-6)
    assert torch.allclose(contrastive.objective(batch, 0.0).loss, info_nce(energies, temperature=0.1), atol=1e-5)


def test_pairs_are_told_apart_by_their_labels(example):
    landscapes = example("energy_landscapes.py")
    found = landscapes.landscape(landscapes.build_models(0.1, 0.0)["I-JEPA"], 16)
    counts = {name: len(energies) for name, energies in found.items()}
    labels = [landscapes.DigitsDataModule().build_datasets()[1][i][1] for i in range(16)]
    same = sum(a == b for a in labels for b in labels) - 16
    assert counts == {"same image": 16, "same class": same, "foreign": 16 * 15 - same}
    values = {"same image": torch.tensor([1.0]), "same class": torch.tensor([2.0, 3.0]), "foreign": torch.tensor([2.5])}
    measured = landscapes.measures(values)
    assert measured["AUROC same image"] == 1
    assert measured["AUROC same class"] == 0.5
    assert measured["same image, share"] == pytest.approx(0.4)


@pytest.mark.slow
def test_writes_a_figure_and_a_table(example, tmp_path, capsys):
    landscapes = example("energy_landscapes.py")
    out = tmp_path / "new" / "landscapes.v2"
    landscapes.main(["--quick", "--steps", "2", "--batch-size", "8", "--num-workers", "0", "--out", str(out)])
    assert Path(f"{out}.png").stat().st_size > 1000
    with Path(f"{out}.csv").open(newline="") as file:
        assert [row["model"] for row in csv.DictReader(file)] == ["random weights", "I-JEPA", "InfoNCE"]
    assert "| InfoNCE |" in capsys.readouterr().out
