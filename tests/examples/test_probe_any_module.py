from pathlib import Path

import numpy as np
import torch


def test_both_modules_train_with_all_callbacks(example):
    example("probe_any_module.py").main(["--steps", "4"])
    supervised, simclr = (
        torch.load(next(Path().glob(f"lightning_logs/version_{number}/checkpoints/*.ckpt")), weights_only=True)
        for number in (0, 1)
    )
    assert {"OnlineLinearProbe", "OnlineAttentiveProbe", "OnlineKNN"} <= supervised["callbacks"].keys()
    assert {"OnlineLinearProbe_average", "ProbeReport", "CollapseMonitor"} <= simclr["callbacks"].keys()
    # stripes of four angles are read from pixels better than by chance, and from features better still
    assert supervised["callbacks"]["OnlineKNN"]["best"]["val/knn"] > 0.5
    assert np.load("features.npz")["features"].shape == (256, 64)


def test_callbacks_take_five_lines(example):
    text = Path(example("probe_any_module.py").__file__).read_text()
    for name in ("supervised_callbacks", "simclr_callbacks"):
        body = text.split(f"def {name}")[1].split("\n\n\n")[0].splitlines()[2:]
        assert len(body) <= 5
