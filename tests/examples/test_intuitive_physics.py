from pathlib import Path

import pytest
import torch


def test_only_windows_that_see_the_same_and_predict_another_future_count(example):
    physics = example("intuitive_physics.py")
    low = torch.zeros(5)
    for onset, counted in ((3, []), (4, [0]), (6, [0, 1, 2]), (9, [2, 3, 4]), (11, [4]), (12, [])):
        margins = [physics.Curve(low, torch.eye(5)[i], onset).margin for i in range(5)]
        assert [i for i, margin in enumerate(margins) if margin] == counted


def test_twins_are_judged_together_and_ties_count_half(example):
    physics = example("intuitive_physics.py")
    low = torch.zeros(5)
    margins = (2.0, -1.0, 1.0, -3.0, 0.0, 0.0)
    curves = {name: [physics.Curve(low, torch.full((5,), each), 4) for each in margins] for name in ("wall", "upward")}
    assert physics.accuracy(curves, together=2) == {"wall": 50.0, "upward": 50.0}
    curves["wall"][3] = physics.Curve(low, torch.full((5,), -0.5), 4)
    assert physics.accuracy(curves, together=2)["wall"] == pytest.approx(100 * 2.5 / 3)
    assert physics.accuracy(curves, together=1)["wall"] == 50.0


def test_changes_of_pixels_know_nothing_of_what_happens_behind_a_bar(example):
    physics = example("intuitive_physics.py")
    dataset = physics.ViolationDataset(60, physics.NUM_FRAMES, physics.IMAGE_SIZE)
    pairs = [dataset[i] for i in range(60)]
    curves = physics.pixel_curves(pairs)
    assert all(len(curve.possible) == 5 for each in curves.values() for curve in each)
    for violation in ("vanish", "teleport", "shape"):
        first, second = curves[violation][:2]
        # by as much as the hidden body shows at the edge of the bar
        assert first.margin + second.margin == pytest.approx(0, abs=0.02 * float(first.possible.mean()))
    clip = pairs[0].possible[::2].float()
    expected = [sum((clip[t] - clip[t - 1]).abs().mean() for t in range(i + 4, i + 8)) / 4 for i in range(5)]
    torch.testing.assert_close(curves["vanish"][0].possible, torch.stack(expected))


@pytest.mark.slow
def test_writes_a_table_and_a_plot(example, tmp_path: Path, monkeypatch):
    physics = example("intuitive_physics.py")
    monkeypatch.setattr(physics, "IMAGE_SIZE", 24)
    run = ["--seeds", "0", "1", "--steps", "1", "--pairs", "10", "--batch-size", "2", "--num-workers", "0"]
    physics.main([*run, "--out", str(tmp_path / "out" / "physics.v2")])
    lines = (tmp_path / "out" / "physics.v2.md").read_text().splitlines()
    assert lines.count("| | vanish | teleport | shape | wall | upward |") == 2
    rows = [line.split(" | ")[0] for line in lines if line.startswith("| ") and "." in line]
    assert rows == ["| V-JEPA", "| untrained", "| pixel changes"] * 2
    assert (tmp_path / "out" / "physics.v2.png").stat().st_size > 1000
