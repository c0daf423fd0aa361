import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from safetensors import safe_open
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from jepa_lightning.callbacks import FeatureWriter

Build = Callable[..., Any]


@pytest.fixture
def loader() -> Build:
    """A loader of 7 samples in batches of 3, with a path each."""

    def build(module: Any, labels: Any = lambda i: i % 3, paths: bool = True) -> DataLoader[Any]:
        images = torch.rand(7, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        rows = [(image, labels(i), f"dir/ü {i}.png" if paths else None) for i, image in enumerate(images)]
        return DataLoader(rows, batch_size=3, collate_fn=module.pipeline().collate)

    return build


def expected(module: Any, loader: DataLoader[Any]) -> torch.Tensor:
    module.eval()
    with torch.no_grad():
        return torch.cat([module(batch.views[0]) for batch in loader])


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_features_labels_and_paths_stay_together(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, suffix: str, capsys: Any
) -> None:
    module, path = tiny_ijepa(), tmp_path / f"new/folder/features.{suffix}"
    quiet_trainer(callbacks=[FeatureWriter(path)]).predict(module, loader(module), return_predictions=False)
    if suffix == "npz":
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file}
        paths = list(found.pop("paths"))
        found = {name: torch.from_numpy(values) for name, values in found.items()}
    else:
        found = load_file(path)
        with safe_open(path, "pt") as file:
            paths = json.loads(file.metadata()["paths"])
    assert paths == [f"dir/ü {i}.png" for i in range(7)]
    assert sorted(found) == ["features", "labels"]
    assert found["labels"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    torch.testing.assert_close(found["features"], expected(module, loader(module)))
    assert capsys.readouterr().out == f"wrote 7 features of width 48 to {path}: features, labels, paths\n"


def test_several_labels_and_none(tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path) -> None:
    module, path = tiny_ijepa(), tmp_path / "features.npz"
    trainer = quiet_trainer(callbacks=[FeatureWriter(path)])
    trainer.predict(module, loader(module, lambda i: {"shape": i, "colour": -1}, paths=False))
    found = np.load(path)
    assert sorted(found) == ["features", "labels/colour", "labels/shape"]
    assert found["labels/shape"].tolist() == list(range(7))
    trainer.predict(module, loader(module, lambda i: None))  # once more with the same callback
    again = np.load(path)
    assert sorted(again) == ["features", "paths"]
    assert len(again["features"]) == 7


@pytest.mark.parametrize("path", ["features.csv", "features"])
def test_other_formats_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"cannot write features to features.*give .npz or .safetensors"):
        FeatureWriter(path)


def test_several_devices_are_refused(tiny_ijepa: Build, quiet_trainer: Build, tmp_path: Path) -> None:
    class Two:
        world_size = 2

    with pytest.raises(MisconfigurationException, match=r"written from one device and the Trainer has 2"):
        FeatureWriter(tmp_path / "features.npz").setup(Two(), tiny_ijepa(), "predict")  # type: ignore[arg-type]
