import csv

import pytest
import torch

from jepa_lightning import SimCLR
from jepa_lightning.data import ShapesDataModule


def test_a_method_that_knows_each_image_separates_all_pairs(example):
    auroc = example("energy_auroc.py")
    torch.manual_seed(0)
    module = SimCLR("vit_tiny", width=48, depth=1, heads=3, image_size=32, patch_size=8, flip=0.0, color_strength=0.0)
    data = ShapesDataModule(num_train=64, num_val=64, image_size=32, batch_size=8, num_workers=0)
    area, gap = auroc.separation(module, data, 64)
    assert 0.4 < area < 1
    assert auroc.separation(module, data, 64) == (area, gap)  # the same views again
    # energies of pixels, of views that are the whole image
    module.encoder.forward = lambda images: images.flatten(1)[:, None]
    module.projector = torch.nn.Identity()
    module.crop_scale = (1.0, 1.0)
    area, gap = auroc.separation(module, data, 64)
    assert area > 0.99
    assert gap > 0.9
    assert module.training


@pytest.mark.slow
def test_writes_a_line_for_each_run(example, tmp_path, capsys):
    auroc = example("energy_auroc.py")
    out = tmp_path / "new" / "energies.csv"
    run = ["--seeds", "0", "1", "--steps", "1", "--small", "--samples", "8", "--batch-size", "4"]
    run += ["--num-workers", "0", "--out", str(out)]
    auroc.main(["--methods", "IJEPA", "DINO", "VJEPA", *run])
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"]) for row in rows] == [
        (name, seed) for seed in ("0", "1") for name in ("IJEPA", "DINO", "VJEPA")
    ]
    assert all(0 <= float(row["before"]) <= 1 and 0 <= float(row["after"]) <= 1 for row in rows)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("| IJEPA", "| DINO", "| VJEPA")) and line.count("±") == 4 for line in lines) == 3
    with pytest.raises(SystemExit, match=r"energies\.csv exists"):
        auroc.main(["--methods", "IJEPA", *run])
