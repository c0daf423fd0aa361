import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jepa_lightning.data import ImageFolderDataModule, VideoManifestDataModule
from jepa_lightning.data.shards import plan as module
from jepa_lightning.data.shards.plan import ShardPlan, plan_shards


def plan(folder: Path, shard_mb: float = 0.0066) -> ShardPlan:
    return plan_shards(ImageFolderDataModule(folder), shard_mb)


def test_shards_are_as_large_as_asked_and_mix_the_classes(image_folder: Path) -> None:
    shards = plan(image_folder).splits["train"]
    assert sorted(file.path for shard in shards for file in shard) == sorted(
        str(path.relative_to(image_folder)) for path in (image_folder / "train").rglob("*.png")
    )
    largest = max(path.stat().st_size for path in image_folder.rglob("*.png"))
    lengths = [sum((image_folder / file.path).stat().st_size for file in shard) for shard in shards]
    assert all(6600 - largest < length <= 6600 for length in lengths[:-1])
    # in the order of the folder it would be one
    assert sum(len({file.label for file in shard}) == 2 for shard in shards) > 3


def test_a_file_larger_than_a_shard_has_one_to_itself(image_folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(image_folder / "train/cat/large.png")
    names = [[file.path for file in shard] for shard in plan(image_folder).splits["train"]]
    assert ["train/cat/large.png"] in names


def test_a_plan_is_told_from_others_by_its_files_their_lengths_and_the_size_of_shards(image_folder: Path) -> None:
    sources = [plan(image_folder).source, plan(image_folder, 0.005).source]
    path = image_folder / "train/cat/00.png"
    path.write_bytes(path.read_bytes() + b"more")
    sources.append(plan(image_folder).source)
    path.rename(image_folder / "train/dog/00.png")
    sources.append(plan(image_folder).source)
    assert len(set(sources)) == 4
    assert plan(image_folder).source == sources[-1]


def test_files_that_are_missing_or_too_large_are_named(image_folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "list.csv").write_text("path,label\nnone.mp4,x\n")
    lists = VideoManifestDataModule(tmp_path / "list.csv", tmp_path / "list.csv")
    with pytest.raises(FileNotFoundError, match=re.escape(f"cannot read {tmp_path / 'none.mp4'}: No such file")):
        plan_shards(lists)
    for size in (0, -1, float("nan"), 4279):
        with pytest.raises(ValueError, match=f"shard_mb={size:g} is not in the range from above 0 to 4278"):
            plan_shards(lists, size)
    monkeypatch.setattr(module, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"\.png has 0.0 GB, more than the 0.0 that a shard can hold"):
        plan(image_folder, 1e-3)
