"""What holds for folders of images, of videos and of frames alike."""

import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.data import ImageFolderDataModule, VideoFolderDataModule
from jepa_lightning.data.folder import FolderDataModule

KINDS = {
    "images": (ImageFolderDataModule, "{}.png", {}),
    "videos": (VideoFolderDataModule, "{}.mp4", {}),
    "frames": (VideoFolderDataModule, "{}/1.png", {"frames": True}),
}


@pytest.fixture(params=KINDS)
def kind(request: Any) -> str:
    return str(request.param)


def fill(root: Path, kind: str, *classes: str, count: int = 4) -> Path:
    """Empty files in folders of classes, each with as many samples."""
    for name in classes:
        for i in range(count):
            path = root / name / KINDS[kind][1].format(i)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


def set_up(root: Path, kind: str) -> FolderDataModule:
    cls, _, options = KINDS[kind]
    data: FolderDataModule = cls(root, **options)
    data.setup()
    return data


def paths(data: FolderDataModule) -> list[str]:
    return sorted(file.path for file in data.train_set.dataset.files)  # type: ignore[attr-defined]


def pack(folder: Path, kind: str = "images") -> Path:
    """A finished output: one shard a split."""
    chunk = {"filename": "chunk-0-0.bin", "chunk_size": 1, "chunk_bytes": 1}
    ours = {"kind": kind, "classes": ["a"], "source": "0"}
    content = {"chunks": [chunk], "config": {"data_format": ["bytes", "bytes"]}, "jepa_lightning": ours}
    for split in ("train", "val"):
        (folder / split).mkdir(parents=True)
        (folder / split / "index.json").write_text(json.dumps(content))
        (folder / split / "chunk-0-0.bin").write_bytes(b"0")
    return folder


def test_shards_in_the_root_are_neither_a_class_nor_a_split(tmp_path: Path, kind: str) -> None:
    root = pack(fill(tmp_path / "root", kind, "cat", "dog"))
    with pytest.warns(UserWarning, match="are not read") as caught:
        data = set_up(root, kind)
    assert data.class_names == ("cat", "dog")
    assert len(paths(data)) == 8
    assert [str(warning.message) for warning in caught] == [
        f"2 entries in {root} are not read, because they are shards that `jepa-lightning pack` wrote: {root}/train, "
        f"{root}/val."
    ]


def test_a_link_to_shards_is_not_a_class(tmp_path: Path, kind: str) -> None:
    root, output = fill(tmp_path / "root", kind, "cat", "dog"), pack(tmp_path / "output")
    (root / "linked").symlink_to(output)
    (root / "cat/linked").symlink_to(pack(tmp_path / "other") / "train")
    with pytest.warns(UserWarning, match=f"shards that `jepa-lightning pack` wrote: {root}/cat/linked, {root}/linked/"):
        data = set_up(root, kind)
    assert data.class_names == ("cat", "dog")
    assert len(paths(data)) == 8


def test_shards_alone_are_named_with_what_reads_them(tmp_path: Path, kind: str) -> None:
    root = pack(tmp_path / "output")
    reader = f"Streaming{'Image' if kind == 'images' else 'Video'}DataModule reads."
    with pytest.warns(UserWarning, match="shards"), pytest.raises(FileNotFoundError, match=re.escape(reader)) as error:
        set_up(root, kind)
    assert f"in {root}: it holds shards that `jepa-lightning pack` wrote" in str(error.value)
    assert "\n" not in str(error.value)


def test_shards_for_validation_do_not_hide_a_split(tmp_path: Path, kind: str) -> None:
    root = fill(tmp_path, kind, "train/cat", "valid/cat")
    pack(tmp_path / "output")
    shutil.move(tmp_path / "output/val", root / "val")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = set_up(root, kind)
    assert {path.split("/")[0] for path in paths(data)} == {"train", "valid"}


def test_the_index_of_another_tool_is_a_file_among_others(tmp_path: Path, kind: str) -> None:
    root = fill(tmp_path, kind, "cat", "train")
    for name in ("cat", "train"):
        (root / name / "index.json").write_text("{}")
    with pytest.warns(UserWarning, match=r"because of their endings: .json \(2\)"):
        data = set_up(root, kind)
    assert data.class_names == ("cat", "train")


def test_a_class_may_be_called_train_or_val(tmp_path: Path, kind: str) -> None:
    data = set_up(fill(tmp_path, kind, "bus", "train", "val", "car"), kind)
    assert data.class_names == ("bus", "car", "train", "val")
    assert len(paths(data)) == 16


def test_numbers_as_names_are_in_the_order_of_numbers(tmp_path: Path, kind: str) -> None:
    data = set_up(fill(tmp_path, kind, *map(str, range(12)), count=2), kind)
    assert data.class_names == tuple(map(str, range(12)))
    assert [data.files(data.root, [], data.class_names).classes[str(i)] for i in range(12)] == list(range(12))


def test_the_home_folder_may_be_written_short(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / "x", kind, "a")
    assert len(paths(set_up(Path("~/x"), kind))) == 4
