import shutil
from pathlib import Path

import numpy as np
import pytest

OPTIONS = ["--output", "out", "--steps", "2", "--batch-size", "8", "--image-size", "32", "--num-workers", "0"]


@pytest.mark.parametrize("labeled", [True, False])
def test_gives_a_checkpoint_and_the_features_of_every_image(example, folder, labeled):
    if not labeled:
        for path in folder.glob("*/*"):
            shutil.move(path, folder)
        for path in folder.glob("*/"):
            path.rmdir()
    example("train_on_your_images.py").main([str(folder), *OPTIONS])
    assert Path("out/trained.ckpt").is_file()
    found = np.load("out/features.npz")
    assert found["features"].shape == (24, 192)
    assert np.isfinite(found["features"]).all()
    assert sorted(found["paths"]) == sorted(str(p.relative_to(folder)) for p in folder.rglob("*.*"))
    if labeled:
        classes = [str(path).split("/")[0] for path in found["paths"]]
        assert [("even", "odd")[label] for label in found["labels"]] == classes
    else:
        assert "labels" not in found
