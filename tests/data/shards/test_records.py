import importlib.util
import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from jepa_lightning.data.shards.records import Shards

litdata = pytest.importorskip("litdata")


def damage(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    else:
        path.write_bytes(b"\xff" * path.stat().st_size)


def test_samples_are_read_in_any_order_and_in_any_process(shard_folder: Path) -> None:
    shards = Shards(str(shard_folder), "train")
    paths = [shards[i].path for i in range(30)]
    assert len(set(paths)) == len(shards) == 30
    order = [17, 3, 29, 3, 0, 11, 28]
    assert [shards[i].path for i in order] == [paths[i] for i in order]
    loaded = DataLoader(shards, sampler=order, num_workers=2, batch_size=None, collate_fn=lambda record: record.path)  # type: ignore[arg-type,var-annotated]
    assert list(loaded) == [paths[i] for i in order]
    assert pickle.loads(pickle.dumps(shards))[5].path == paths[5]


@pytest.mark.parametrize(("how", "message"), [("missing", "is missing"), ("truncated", r"has \d+ bytes, not the \d+")])
def test_a_damaged_shard_is_named_before_anything_is_read(shard_folder: Path, how: str, message: str) -> None:
    path = shard_folder / "train/chunk-0-2.bin"
    damage(path, how)
    with pytest.raises(
        (FileNotFoundError, ValueError), match=f"the shard {path} {message}.*: copy it again from where"
    ):
        Shards(str(shard_folder), "train")
    assert len(Shards(str(shard_folder), "val")) == 10


# litdata waits two seconds for one that is missing
@pytest.mark.parametrize("how", [pytest.param("missing", marks=pytest.mark.slow), "overwritten"])
def test_a_shard_that_is_damaged_later_is_named_when_it_is_read(shard_folder: Path, how: str) -> None:
    shards = Shards(str(shard_folder), "train")
    damage(shard_folder / "train/chunk-0-0.bin", how)
    with pytest.raises(RuntimeError, match=r"cannot read the shard .*train/chunk-0-0.bin \(.*\): copy it again"):
        shards[0]


def test_folders_that_hold_no_shards_are_named_with_what_to_do(shard_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no folder {tmp_path / 'none'}")):
        Shards(str(tmp_path / "none"), "train")
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "images"):
        message = rf"there is no {tmp_path / folder}/train/index.json: .* `jepa-lightning pack .*{tmp_path / folder}"
        with pytest.raises(FileNotFoundError, match=message):
            Shards(str(tmp_path / folder), "train")
    with pytest.raises(ValueError, match=f"{shard_folder / 'train'} is one split of the shards: give the folder above"):
        Shards(str(shard_folder / "train"), "train")
    shutil.rmtree(shard_folder / "val")
    with pytest.raises(FileNotFoundError, match=r"there is no .*/val/index.json"):
        Shards(str(shard_folder), "val")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"chunks": [], "config": {"data_format": ["jpeg", "int"]}}'])
def test_an_index_of_something_else_is_named(shard_folder: Path, content: str) -> None:
    (shard_folder / "train/index.json").write_text(content)
    with pytest.raises(ValueError, match=r"train/index.json is not of shards that `jepa-lightning pack` wrote"):
        Shards(str(shard_folder), "train")


def test_shards_of_another_form_are_named(shard_folder: Path) -> None:
    path = shard_folder / "train/index.json"
    index = json.loads(path.read_text())
    index["config"]["data_format"] = ["jpeg", "int"]
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"train/index.json is not of shards that"):
        Shards(str(shard_folder), "train")


def test_without_litdata_it_is_said_what_to_install(shard_folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MisconfigurationException, match=r"pip install 'jepa_lightning\[streaming\]'"):
        Shards(str(shard_folder), "train")
