import hashlib
import pickle
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR10, CIFAR100, STL10, cifar, stl10

from jepa_lightning.data import CIFAR10DataModule, CIFAR100DataModule, STL10DataModule, masked_image_pipeline
from jepa_lightning.masking import MultiBlockMask


def write(path: Path, content: bytes) -> list[str]:
    """Writes a file, and gives its name and checksum as torchvision lists them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return [path.name, hashlib.md5(content).hexdigest()]


def write_cifar(root: Path, source: type[CIFAR10], monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny files in the format of the real ones, in the place of the real ones."""
    folder, key = root / source.base_folder, "fine_labels" if source is CIFAR100 else "labels"
    names = [f"class {i}" for i in range(100 if source is CIFAR100 else 10)]
    meta = write(folder / source.meta["filename"], pickle.dumps({source.meta["key"]: names}))
    for attribute, classes in (("train_list", [3, 1, 4, 1, 5, 9]), ("test_list", [2, 6])):
        data = np.stack([np.full(3072, 10 * label, dtype=np.uint8) for label in classes])
        data[:, :1024] = 7  # the first plane is red
        listed = write(folder / attribute, pickle.dumps({"data": data, key: classes}))
        monkeypatch.setattr(source, attribute, [listed])
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": meta[1]})


def write_stl10(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = root / STL10.base_folder
    listed = {}
    for name, count in (("train", 3), ("unlabeled", 5), ("test", 2)):
        listed[f"{name}_X.bin"] = write(folder / f"{name}_X.bin", bytes(range(count)) * 3 * 96 * 96)
        if name != "unlabeled":
            listed[f"{name}_y.bin"] = write(folder / f"{name}_y.bin", bytes(range(1, count + 1)))
    write(folder / STL10.class_names_file, "\n".join(f"class {i}" for i in range(10)).encode())
    monkeypatch.setattr(STL10, "train_list", [listed[n] for n in ("train_X.bin", "train_y.bin", "unlabeled_X.bin")])
    monkeypatch.setattr(STL10, "test_list", [listed["test_X.bin"], listed["test_y.bin"]])


@pytest.mark.parametrize(
    ("module", "source", "classes"), [(CIFAR10DataModule, CIFAR10, 10), (CIFAR100DataModule, CIFAR100, 100)]
)
def test_cifar_is_read_from_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, source: type[CIFAR10], classes: int
) -> None:
    write_cifar(tmp_path, source, monkeypatch)
    data = module(tmp_path, download=False)
    data.prepare_data()
    data.setup()
    assert data.num_classes == classes
    assert data.class_names[3] == "class 3"
    assert data.num_samples == 6
    assert len(data.val_set) == 2
    assert [data.train_set[i][1] for i in range(6)] == [3, 1, 4, 1, 5, 9]
    image, label, path = data.val_set[1]
    assert isinstance(image, Image.Image)
    assert image.size == (32, 32)
    assert image.getpixel((31, 0)) == (7, 60, 60)
    assert (label, path) == (6, None)


def test_cifar_gives_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, CIFAR10, monkeypatch)
    pipeline = masked_image_pipeline((32, 32), MultiBlockMask((8, 8)))
    data = CIFAR10DataModule(tmp_path, batch_size=3, num_workers=1, pipeline=pipeline)
    data.setup()
    batches = list(data.train_dataloader())
    assert [batch.views[0].shape for batch in batches] == [(3, 3, 32, 32)] * 2
    assert sorted(int(label) for batch in batches for label in batch.labels) == [1, 1, 3, 4, 5, 9]


@pytest.mark.parametrize(("unlabeled", "labels"), [(True, [0, 1, 2, -1, -1, -1, -1, -1]), (False, [0, 1, 2])])
def test_stl10_trains_with_its_unlabeled_images_and_probes_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unlabeled: bool, labels: list[int]
) -> None:
    write_stl10(tmp_path, monkeypatch)
    pipeline = masked_image_pipeline((32, 32), MultiBlockMask((8, 8)))
    data = STL10DataModule(tmp_path, unlabeled, download=False, batch_size=3, num_workers=0, pipeline=pipeline)
    data.prepare_data()
    data.setup()
    assert data.num_classes == 10
    assert [data.train_set[i][1] for i in range(data.num_samples)] == labels
    assert data.train_set[0][0].size == (96, 96)
    (memory,) = data.memory_dataloader()
    assert torch.equal(memory.labels, torch.tensor([0, 1, 2]))
    assert [data.val_set[i][1] for i in range(2)] == [0, 1]


@pytest.mark.parametrize("module", [CIFAR10DataModule, CIFAR100DataModule, STL10DataModule])
def test_a_missing_data_set_says_where_it_should_be(tmp_path: Path, module: Any) -> None:
    data = module(tmp_path, download=False)
    data.prepare_data()
    with pytest.raises(
        FileNotFoundError, match=f"{module.__name__} finds no whole data set in {re.escape(str(tmp_path))}"
    ):
        data.setup()


@pytest.mark.parametrize(
    ("module", "where", "url"),
    [
        (CIFAR10DataModule, cifar, CIFAR10.url),
        (CIFAR100DataModule, cifar, CIFAR100.url),
        (STL10DataModule, stl10, STL10.url),
    ],
)
def test_only_prepare_data_downloads_and_a_failure_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, where: Any, url: str
) -> None:
    asked = []

    def refuse(address: str, *_: Any, **__: Any) -> None:
        asked.append(address)
        raise URLError("no route to host")

    monkeypatch.setattr(where, "download_and_extract_archive", refuse)
    data = module(tmp_path)
    with pytest.raises(
        ConnectionError, match=rf"{module.__name__} could not download its data .*no route to host.* by hand"
    ):
        data.prepare_data()
    assert asked == [url]
    with pytest.raises(FileNotFoundError):
        data.setup()
    assert asked == [url]
