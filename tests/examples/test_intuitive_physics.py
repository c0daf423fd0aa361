from pathlib import Path

import pytest
import torch


def test_the_higher_greatest_energy_wins_and_ties_count_half(example):
    physics = example("intuitive_physics.py")
    low, high = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.5, 0.5, 2.0])
    curves = {"wall": [(low, high), (high, low), (low, low), (low, high)]}
    assert physics.pairwise_accuracy(curves) == {"wall": 62.5}


@pytest.mark.slow
def test_writes_a_table_and_a_plot(example, tmp_path: Path, monkeypatch):
    physics = example("intuitive_physics.py")
    monkeypatch.setattr(physics, "IMAGE_SIZE", 32)
    run = ["--seeds", "0", "1", "--steps", "1", "--pairs", "5", "--batch-size", "2", "--num-workers", "0"]
    physics.main([*run, "--out", str(tmp_path / "out" / "physics")])
    head, _, *rows = (tmp_path / "out" / "physics.md").read_text().splitlines()
    assert head == "| | vanish | teleport | shape | wall | upward |"
    assert [row.split(" | ")[0] for row in rows] == ["| V-JEPA", "| untrained", "| pixel changes"]
    assert (tmp_path / "out" / "physics.png").stat().st_size > 1000
