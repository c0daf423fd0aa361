from pathlib import Path

import pytest
import torch


@pytest.mark.filterwarnings("ignore:Training ends with a linear probe")
def test_trains_and_reloads_without_arguments(example, capsys, monkeypatch):
    series = example("time_series.py")
    monkeypatch.setitem(__import__("sys").modules, "time_series", series)  # as if it were imported or run
    series.main(["--steps", "20"])
    assert "features of one series: (1, 64)" in capsys.readouterr().out
    saved = torch.load("series.ckpt", weights_only=True)
    assert saved["global_step"] == 20
    assert saved["hyper_parameters"]["encoder"]["class_path"] == "time_series.SeriesEncoder"
    assert Path("lightning_logs").exists()


def test_kept_patches_are_those_of_the_indices(example):
    encoder = example("time_series.py").SeriesEncoder(depth=0)
    x, keep = torch.randn(2, 2, 256), torch.tensor([[3, 1], [0, 31]])
    expected = torch.stack([tokens[kept] for tokens, kept in zip(encoder(x), keep, strict=True)])
    torch.testing.assert_close(encoder(x, keep=keep), expected)


def test_windows_lie_within_the_series(example):
    series = example("time_series.py")
    ramp = torch.arange(320.0).expand(2, -1)
    starts = {int(series.random_window(ramp)[0][0, 0]) for _ in range(500)}
    assert min(starts) == 0
    assert max(starts) == 64
    assert series.middle_window(ramp)[0][0, 0] == 32
