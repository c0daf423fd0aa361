import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule
from safetensors import safe_open
from safetensors.torch import load_file
from torch.utils.data import DataLoader, Dataset

from jepa_lightning.callbacks import FeatureWriter
from jepa_lightning.data.loading import seeded_loader

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
    trainer.predict(module, loader(module, lambda i: {"shape": i, "color": -1}, paths=False))
    found = np.load(path)
    assert sorted(found) == ["features", "labels/color", "labels/shape"]
    assert found["labels/shape"].tolist() == list(range(7))
    trainer.predict(module, loader(module, lambda i: None))  # the same callback replaces what it has written
    again = np.load(path)
    assert sorted(again) == ["features", "paths"]
    assert len(again["features"]) == 7


@pytest.mark.parametrize("path", ["features.csv", "features"])
def test_other_formats_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"cannot write features to features.*give .npz or .safetensors"):
        FeatureWriter(path)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_regression_targets_multi_hot_vectors_and_batches_without_labels(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, suffix: str
) -> None:
    """The first batch of 3 has no label at all, and the second no age."""
    rows = [None, None, None, {"parts": [0, 1]}, None, None, {"age": 0.5, "parts": [1, 1]}]
    module, path = tiny_ijepa(), tmp_path / f"features.{suffix}"
    quiet_trainer(callbacks=[FeatureWriter(path)]).predict(module, loader(module, lambda i: rows[i]))
    found = {name: torch.as_tensor(values) for name, values in read(path).items() if name != "paths"}
    assert found["labels/parts"].tolist() == [[-1, -1]] * 3 + [[0, 1]] + [[-1, -1]] * 2 + [[1, 1]]
    torch.testing.assert_close(found["labels/age"], torch.tensor([torch.nan] * 6 + [0.5]), equal_nan=True)
    assert found["features"].shape == (7, 48)


def read(path: Path) -> dict[str, Any]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file}
    with safe_open(path, "pt") as file:
        texts = {name: json.loads(text) for name, text in (file.metadata() or {}).items()}
    return load_file(path) | texts


def test_labels_of_two_kinds_in_one_run_are_refused(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path
) -> None:
    module = tiny_ijepa()
    trainer = quiet_trainer(callbacks=[FeatureWriter(tmp_path / "features.npz")])
    with pytest.raises(ValueError, match=r"labels is float32 \[\] in one batch and int64 \[\] in those before"):
        trainer.predict(module, loader(module, lambda i: i if i < 3 else 0.5))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_layers_and_tokens(tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, suffix: str) -> None:
    module, path = tiny_ijepa(), tmp_path / f"features.{suffix}"
    writer = FeatureWriter(path, layers=[-2, -1], tokens=True)
    quiet_trainer(callbacks=[writer]).predict(module, loader(module))
    module.eval()
    with torch.no_grad():
        views = torch.cat([batch.views[0] for batch in loader(module)])
        tokens, features = module(views, layers=[-2, -1], pool=False), module(views, layers=[-2, -1])
    found = read(path)
    torch.testing.assert_close(torch.as_tensor(found["tokens"]), tokens)
    torch.testing.assert_close(torch.as_tensor(found["features"]), features)
    assert found["tokens"].shape == (7, 16, 96)
    assert (module.predict_layers, module.predict_tokens) == (None, False)  # as before


def test_layers_of_a_module_without_them_are_refused(
    echo: Build, quiet_trainer: Build, loader: Build, tiny_ijepa: Build, tmp_path: Path
) -> None:
    trainer = quiet_trainer(callbacks=[FeatureWriter(tmp_path / "features.npz", tokens=True)])
    with pytest.raises(MisconfigurationException, match="layers and tokens are those of a JEPAModule, and Echo"):
        trainer.predict(echo(), loader(tiny_ijepa()))


def test_rows_of_several_loaders_follow_each_other(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path
) -> None:
    module, path = tiny_ijepa(), tmp_path / "features.npz"
    first, second = loader(module), loader(module, lambda i: 2 - i % 3)
    quiet_trainer(callbacks=[FeatureWriter(path)]).predict(module, [first, second])
    found = read(path)
    assert found["loader"].tolist() == [0] * 7 + [1] * 7
    assert found["labels"].tolist() == [0, 1, 2, 0, 1, 2, 0, 2, 1, 0, 2, 1, 0, 2]
    assert sorted(found) == ["features", "labels", "loader", "paths"]


class Named(LightningDataModule):
    """Says what its classes are called."""

    def __init__(self, loader: Any, class_names: Any) -> None:
        super().__init__()
        self.loader, self.class_names = loader, class_names

    def predict_dataloader(self) -> Any:
        return self.loader


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_names_of_classes_are_in_the_file(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, suffix: str
) -> None:
    module = tiny_ijepa()
    for name, labels, class_names, expected in (
        ("one", lambda i: i % 2, ("cat", "Käse"), {"class_names": ["cat", "Käse"]}),
        ("by_name", lambda i: {"a": 0, "b": 0.5}, {"a": ["x", "y"], "c": ["z"]}, {"class_names/a": ["x", "y"]}),
        ("none", lambda i: i % 2, None, {}),
        ("unlabeled", lambda i: None, ["cat"], {}),
    ):
        path = tmp_path / f"{name}.{suffix}"
        quiet_trainer(callbacks=[FeatureWriter(path)]).predict(module, Named(loader(module, labels), class_names))
        assert {key: list(text) for key, text in read(path).items() if key.startswith("class_names")} == expected


class Unreadable(Dataset[Any]):
    """Seven images, of which two cannot be read."""

    def __init__(self, size: int = 7) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Any:
        image = torch.full((3, 32, 32), index, dtype=torch.uint8)
        return None if index in (1, 5) else (image, index, f"{index}.png")


def test_rows_stay_with_their_samples_where_some_cannot_be_read(
    tiny_ijepa: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    module, path = tiny_ijepa(), tmp_path / "features.npz"
    loader = seeded_loader(Unreadable(), module.pipeline(), train=False, shuffle=False, seed=0, batch_size=3)
    quiet_trainer(callbacks=[FeatureWriter(path)]).predict(module, loader)
    found = read(path)
    assert found["index"].tolist() == found["labels"].tolist() == [0, 2, 3, 4, 6]
    assert found["paths"].tolist() == [f"{i}.png" for i in (0, 2, 3, 4, 6)]


@pytest.mark.parametrize("exists", ["file", "folder"])
def test_what_is_there_is_refused_before_the_work_and_kept(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, exists: str
) -> None:
    module, path = tiny_ijepa(), tmp_path / "features.npz"
    path.write_text("mine") if exists == "file" else path.mkdir()
    seen: list[int] = []
    module.predict_step = lambda *_: seen.append(1)
    with pytest.raises(MisconfigurationException, match=r"cannot write features to .*: it (exists; give|is a folder)"):
        quiet_trainer(callbacks=[FeatureWriter(path)]).predict(module, loader(module))
    assert seen == []
    assert list(tmp_path.iterdir()) == [path]
    assert exists == "folder" or path.read_text() == "mine"


def test_an_existing_file_is_replaced_where_asked_to(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path
) -> None:
    module, path = tiny_ijepa(), tmp_path / "features.npz"
    path.write_text("mine")
    quiet_trainer(callbacks=[FeatureWriter(path, overwrite=True)]).predict(module, loader(module))
    assert len(read(path)["features"]) == 7
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_came_while_the_model_predicted_is_kept(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, capsys: Any
) -> None:
    module, path = tiny_ijepa(), tmp_path / "features.npz"

    class Other(Callback):
        def on_predict_start(self, *_: Any) -> None:
            path.write_text("theirs")

    quiet_trainer(callbacks=[FeatureWriter(path), Other()]).predict(module, loader(module))
    assert path.read_text() == "theirs"
    assert len(read(tmp_path / "features-1.npz")["features"]) == 7
    assert f"to {tmp_path / 'features-1.npz'}:" in capsys.readouterr().out


def test_a_disk_that_is_full_in_the_middle_ends_in_one_line(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, monkeypatch: Any
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("jepa_lightning.callbacks.feature_rows.RowWriter.append", refuse)
    module = tiny_ijepa()
    with pytest.raises(MisconfigurationException, match=r"cannot write features to .*: No space left on device\."):
        quiet_trainer(callbacks=[FeatureWriter(tmp_path / "f.npz")]).predict(module, loader(module))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 300 + ".npz", "ü" * 120 + ".npz"])
def test_names_that_are_long(tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, name: str) -> None:
    module, trainer = tiny_ijepa(), quiet_trainer(callbacks=[FeatureWriter(tmp_path / name)])
    if len(name) < 255:
        trainer.predict(module, loader(module))
        assert (tmp_path / name).is_file()
        return
    with pytest.raises(MisconfigurationException, match=r"cannot write features to .*: File name too long"):
        trainer.predict(module, loader(module))


def test_a_path_below_a_file_is_refused_before_the_work(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MisconfigurationException, match=r"cannot write features to .*(Not a directory|File exists)"):
        quiet_trainer(callbacks=[FeatureWriter(tmp_path / "file/f.npz")]).predict(m := tiny_ijepa(), loader(m))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), PermissionError(13, "Denied")])
def test_a_folder_that_takes_nothing_is_refused_before_the_work(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, monkeypatch: Any, error: OSError
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr("os.fsync", refuse)
    module = tiny_ijepa()
    with pytest.raises(MisconfigurationException, match=f"cannot write features to .*: {error.strerror}"):
        quiet_trainer(callbacks=[FeatureWriter(tmp_path / "f.npz")]).predict(module, loader(module))
    assert list(tmp_path.iterdir()) == []


def test_features_that_the_disk_has_no_room_for_are_refused_at_the_first_batch(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    module = tiny_ijepa()
    with pytest.raises(MisconfigurationException, match=r"they need 0.0 GB .* and the disk has 0.0 GB"):
        quiet_trainer(callbacks=[FeatureWriter(tmp_path / "f.npz")]).predict(module, loader(module))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_a_disk_that_fails_at_the_end_leaves_the_older_file(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path, suffix: str
) -> None:
    module, path = tiny_ijepa(), tmp_path / f"f.{suffix}"
    path.write_text("good")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    trainer = quiet_trainer(callbacks=[FeatureWriter(path, tokens=True, overwrite=True), LimitedFiles()])
    try:
        with pytest.raises(MisconfigurationException, match=r"cannot write features to .*File too large.*unchanged"):
            trainer.predict(module, loader(module))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "good"
    assert list(tmp_path.iterdir()) == [path]


class LimitedFiles(Callback):
    """From the end of the epoch on the disk takes files of 8 kB."""

    def on_predict_epoch_end(self, *_: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def test_no_descriptor_stays_open_though_labels_are_kept(
    tiny_ijepa: Build, quiet_trainer: Build, loader: Build, tmp_path: Path
) -> None:
    """Tensors of a worker hold a descriptor each while they live."""
    module, counts = tiny_ijepa(depth=1), []

    class Count(Callback):
        def on_predict_batch_end(self, *_: Any) -> None:
            counts.append(len(list(Path("/proc/self/fd").iterdir())))

    rows = [(torch.zeros(3, 32, 32), i % 3) for i in range(60)]
    collate = module.pipeline().collate
    batches = DataLoader(rows, batch_size=1, num_workers=1, collate_fn=collate)
    trainer = quiet_trainer(callbacks=[FeatureWriter(tmp_path / "f.npz"), Count()])
    kept = trainer.predict(module, batches, return_predictions=True)
    assert len(kept) == len(counts) == 60
    assert counts[-1] <= counts[9] + 10


SCRIPT = """
import sys
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader
from jepa_lightning import IJEPA
from jepa_lightning.callbacks import FeatureWriter
from jepa_lightning.data.loading import seeded_loader

folder, ranks, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

class Images(torch.utils.data.Dataset):
    def __len__(self):
        return size

    def __getitem__(self, index):
        image = torch.full((3, 32, 32), 10 * index, dtype=torch.uint8)
        image[0] = torch.arange(32)
        return None if index == 3 else (image, index, f"{index}.png")

torch.manual_seed(0)
module = IJEPA("vit_tiny", 32, 8, width=48, depth=1, heads=3, predictor_depth=1, predictor_dim=24, min_keep=4)
pipeline = module.pipeline()

def ours(rank):
    options = {"train": False, "shuffle": False, "seed": 0, "batch_size": 4}
    return seeded_loader(Images(), pipeline, rank=rank, world_size=ranks, **options)

class Plain(Images):
    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return pipeline.eval_transform(sample[0] if sample else torch.zeros(3, 32, 32, dtype=torch.uint8)), index

for name in ("ours", "plain"):
    trainer = Trainer(
        accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto", logger=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        callbacks=[FeatureWriter(f"{folder}/{name}_{ranks}.npz")],
    )
    plain = DataLoader(Plain(), batch_size=4, collate_fn=pipeline.collate)
    trainer.predict(module, ours(trainer.global_rank) if name == "ours" else plain, return_predictions=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [21, 22])
def test_two_devices_write_each_sample_once_in_the_order_of_the_data_set(tmp_path: Path, size: int) -> None:
    (tmp_path / "run.py").write_text(SCRIPT)
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    for ranks in (1, 2):
        command = [sys.executable, tmp_path / "run.py", tmp_path, str(ranks), str(size)]
        subprocess.run(command, env=environment, check=True, timeout=200)
    for name, indices in (("ours", [i for i in range(size) if i != 3]), ("plain", list(range(size)))):
        alone, both = (read(tmp_path / f"{name}_{ranks}.npz") for ranks in (1, 2))
        assert alone.keys() == both.keys()
        assert both["labels"].tolist() == alone["labels"].tolist() == indices
        np.testing.assert_allclose(both["features"], alone["features"], rtol=1e-5, atol=1e-6)
        assert "paths" not in both or both["paths"].tolist() == [f"{i}.png" for i in indices]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
