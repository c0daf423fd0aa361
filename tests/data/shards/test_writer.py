import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jepa_lightning.data import ImageFolderDataModule, VideoManifestDataModule
from jepa_lightning.data.shards.plan import ShardPlan, plan_shards
from jepa_lightning.data.shards.records import Shards
from jepa_lightning.data.shards.writer import write_shards

litdata = pytest.importorskip("litdata")


def plan(folder: Path, shard_mb: float = 0.0066) -> ShardPlan:
    return plan_shards(ImageFolderDataModule(folder), shard_mb)


def stamps(output: Path) -> dict[str, int]:
    return {"/".join(path.parts[-2:]): path.stat().st_mtime_ns for path in sorted(output.rglob("*.bin"))}


def contents(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("*")) if path.is_file()}


class StopAfter:
    """Interrupts at the nth report."""

    def __init__(self, shards: int) -> None:
        self.left = shards

    def __call__(self, files: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_shards_hold_the_bytes_classes_and_split_of_the_folder(image_folder: Path, shard_folder: Path) -> None:
    data = ImageFolderDataModule(image_folder)
    data.setup()
    for split, source in (("train", data.train_set), ("val", data.val_set)):
        shards = Shards(str(shard_folder), split)
        assert shards.shard_index.classes == ("cat", "dog")
        assert sorted(shard.path for shard in shards) == sorted(source[i][2] for i in range(len(source)))
        for record in shards:
            assert record.data == (image_folder / record.path).read_bytes()
            assert (record.label, record.start, record.end) == (record.path.split("/")[1], 0.0, None)


def test_plain_litdata_reads_them(image_folder: Path, shard_folder: Path) -> None:
    samples = list(litdata.StreamingDataset(str(shard_folder / "train")))
    assert len(samples) == 30
    for content, about in samples:
        assert bytes(content) == (image_folder / json.loads(bytes(about))["path"]).read_bytes()


@pytest.mark.parametrize("stop", [1, 4, 8, 9, 11])
def test_an_interrupted_run_continues_where_it_was_and_ends_with_the_same_bytes(
    image_folder: Path, shard_folder: Path, tmp_path: Path, stop: int
) -> None:
    output = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        write_shards(plan(image_folder), output, StopAfter(stop))
    before = stamps(output)
    assert len(before) == stop
    if stop < 8:
        with pytest.raises(ValueError, match=r"the shards in .*again are not finished: run the same"):
            Shards(str(output), "train")
    reports: list[int] = []
    assert write_shards(plan(image_folder), output, reports.append)
    assert sum(reports) == 40
    assert before.items() <= stamps(output).items()
    assert contents(output) == contents(shard_folder)


def test_what_a_killed_run_left_of_a_shard_is_written_anew(
    image_folder: Path, shard_folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        write_shards(plan(image_folder), output, StopAfter(3))
    work = output / "unfinished"
    (work / "train-parts/new/chunk-0-3.bin").write_bytes(b"half of i")
    (work / "train-parts/1.json").unlink()
    (work / "train/chunk-0-1.bin").write_bytes(b"no index yet")
    assert write_shards(plan(image_folder), output)
    assert contents(output) == contents(shard_folder)


def test_a_finished_output_is_not_written_again(image_folder: Path, shard_folder: Path) -> None:
    before = stamps(shard_folder)
    assert not write_shards(plan(image_folder), shard_folder)
    assert stamps(shard_folder) == before


@pytest.mark.parametrize("finished", [True, False])
def test_shards_of_other_files_are_not_mixed(image_folder: Path, tmp_path: Path, finished: bool) -> None:
    output = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        write_shards(plan(image_folder), output, StopAfter(9 if finished else 2))
    (image_folder / "train/cat/00.png").unlink()
    place = output / ("train" if finished else "unfinished")
    with pytest.raises(ValueError, match=rf"{place} holds .* of other files, .*: remove it, or give another --output"):
        write_shards(plan(image_folder), output)


@pytest.mark.parametrize("left", ["", None])
def test_shards_whose_note_was_lost_are_not_mixed_with_those_of_other_files(
    image_folder: Path, tmp_path: Path, left: str | None
) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_shards(plan(image_folder), tmp_path / "again", StopAfter(2))
    note = tmp_path / "again" / "unfinished" / "source"
    note.unlink()
    if left is not None:
        note.write_text(left)
    (image_folder / "train/cat/00.png").unlink()
    with pytest.raises(ValueError, match="unfinished holds a part of the shards of other files"):
        write_shards(plan(image_folder), tmp_path / "again")


def test_a_run_that_was_killed_before_its_note_can_be_repeated(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "again" / "unfinished").mkdir(parents=True)
    (tmp_path / "again" / "unfinished" / "source").touch()
    assert write_shards(plan(image_folder), tmp_path / "again")


def test_resuming_does_not_open_the_note_for_writing(image_folder: Path, tmp_path: Path) -> None:
    stamps = []
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            write_shards(plan(image_folder), tmp_path / "again", StopAfter(2))
        stamps.append((tmp_path / "again" / "unfinished" / "source").stat().st_mtime_ns)
    assert stamps[0] == stamps[1]


def test_a_folder_with_other_files_is_left_alone(image_folder: Path) -> None:
    before = contents(image_folder)
    with pytest.raises(ValueError, match=re.escape(f"{image_folder / 'train'} exists and holds no shards")):
        write_shards(plan(image_folder), image_folder)
    assert contents(image_folder) == before


def test_a_damaged_shard_of_a_finished_output_is_named(image_folder: Path, shard_folder: Path) -> None:
    (shard_folder / "train/chunk-0-2.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train/chunk-0-2.bin has 0 bytes"):
        write_shards(plan(image_folder), shard_folder)


def test_two_processes_do_not_write_to_one_folder(image_folder: Path, tmp_path: Path) -> None:
    def other(_: int) -> None:
        with pytest.raises(RuntimeError, match=f"another process is writing shards to {tmp_path / 'again'}"):
            write_shards(plan(image_folder), tmp_path / "again")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(plan(image_folder), tmp_path / "again", other)


def test_lines_of_a_list_keep_their_parts(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"first")
    (tmp_path / "b.mp4").write_bytes(b"second")
    (tmp_path / "list.csv").write_text("path,label,start,end\na.mp4,x,,\na.mp4,x,0.5,1.5\nb.mp4,x,2,\n")
    (tmp_path / "val.csv").write_text("path,label\nb.mp4,x\n")
    lists = VideoManifestDataModule(tmp_path / "list.csv", tmp_path / "val.csv")
    write_shards(plan_shards(lists), tmp_path / "shards")
    records = sorted(Shards(str(tmp_path / "shards"), "train"), key=lambda record: (record.path, record.start))
    assert records == [
        ("a.mp4", "x", 0.0, None, b"first"),
        ("a.mp4", "x", 0.5, 1.5, b"first"),
        ("b.mp4", "x", 2.0, None, b"second"),
    ]


def test_a_file_that_is_gone_when_it_is_read_is_named(image_folder: Path, tmp_path: Path) -> None:
    planned = plan(image_folder)
    (image_folder / "train/cat/04.png").unlink()
    with pytest.raises(RuntimeError, match=r"cannot read .*train/cat/04.png: No such file .* resumes from here"):
        write_shards(planned, tmp_path / "out")


def test_unlabeled_files_and_names_of_any_kind(tmp_path: Path, monkeypatch: Any) -> None:
    """litdata would take a text that is the path of a file for that file."""
    folder = tmp_path / "images"
    for i in range(4):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(folder / f"weiß, 映画 {i}.png")
    monkeypatch.chdir(folder)
    write_shards(plan_shards(ImageFolderDataModule(folder, val_fraction=0.3)), tmp_path / "shards")
    for record in Shards(str(tmp_path / "shards"), "train"):
        assert (record.label, record.data) == (None, (folder / record.path).read_bytes())
        assert Image.open(io.BytesIO(record.data)).size == (8, 8)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_file_that_has_become_a_pipe_is_refused_without_waiting(image_folder: Path, tmp_path: Path) -> None:
    planned = plan(image_folder)
    (image_folder / "train/cat/04.png").unlink()
    os.mkfifo(image_folder / "train/cat/04.png")
    with pytest.raises(RuntimeError, match=r"cannot read .*train/cat/04.png: it is not a regular file\. Once"):
        write_shards(planned, tmp_path / "out")
