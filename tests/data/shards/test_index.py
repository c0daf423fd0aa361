import json
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.data.shards.index import INDEX_FILE, LEAVES, OURS, Shard, ShardIndex, holds_shards, write_index

CHUNKS = [{"filename": f"{i}.bin", "chunk_size": size, "chunk_bytes": 10 * size} for i, size in enumerate((3, 1, 4))]
EXTRA = {"kind": "images", "classes": ["a", "b"], "source": "x"}


def content(**changes: Any) -> str:
    return json.dumps({"chunks": CHUNKS, "config": {"data_format": LEAVES}, OURS: EXTRA, **changes})


def test_every_sample_is_in_its_shard() -> None:
    index = ShardIndex(content(), "here")
    assert (len(index), index.kind, index.classes, index.source) == (8, "images", ("a", "b"), "x")
    assert [index.shard_of(sample) for sample in range(8)] == [0, 0, 0, 1, 2, 2, 2, 2]
    assert index.shards[1] == Shard("1.bin", 1, 10)


@pytest.mark.parametrize("text", ["", "[]", "{}", content(chunks=[{}]), content(config={"data_format": ["str"]})])
def test_what_another_tool_wrote_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"here/index.json is not of shards that `jepa-lightning pack` wrote"):
        ShardIndex(text, "here")


def test_shards_that_are_missing_or_cut_are_named(tmp_path: Path) -> None:
    index = ShardIndex(content(), "here")
    for shard in index.shards:
        (tmp_path / shard.name).write_bytes(bytes(shard.length))
    index.check(tmp_path)
    (tmp_path / "2.bin").write_bytes(bytes(39))
    with pytest.raises(ValueError, match=r"2.bin has 39 bytes, not the 40 it was written with: copy it again"):
        index.check(tmp_path)
    (tmp_path / "0.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"the shard .*0.bin is missing: copy it again from where here comes"):
        index.check(tmp_path)


OUTSIDE = ["../payload", "/tmp/payload", "sub/0.bin", "..", ".", "", "..\\payload", "C:payload", "a\0b", 3, None]


@pytest.mark.parametrize("name", OUTSIDE, ids=repr)
def test_names_stay_in_the_folder(name: Any) -> None:
    chunks = [*CHUNKS, {**CHUNKS[0], "filename": name}]
    with pytest.raises(ValueError, match=r"^here/index.json names a shard outside of its folder, "):
        ShardIndex(content(chunks=chunks), "here")


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    index, folder = ShardIndex(content(), "here"), tmp_path / "train"
    folder.mkdir()
    for shard in index.shards:
        (folder / shard.name).write_bytes(bytes(shard.length))
    (folder / "0.bin").rename(tmp_path / "0.bin")
    (folder / "0.bin").symlink_to(tmp_path / "0.bin")
    with pytest.raises(ValueError, match=r"0\.bin is a link out of its folder"):
        index.check(folder)


def test_indices_of_single_shards_are_joined_in_order(tmp_path: Path) -> None:
    parts = [tmp_path / f"{i}.json" for i in range(3)]
    for part, chunk in zip(parts, CHUNKS, strict=True):
        part.write_text(json.dumps({"chunks": [chunk], "config": {"data_format": LEAVES}}))
    write_index(tmp_path / INDEX_FILE, parts, EXTRA, stamp="now")
    assert ShardIndex((tmp_path / INDEX_FILE).read_text(), "here").shards == ShardIndex(content(), "here").shards


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[" * 100_000, "\udcff", content(config={})], ids=lambda text: str(text)[:9]
)
def test_a_folder_holds_shards_where_pack_finished_them(tmp_path: Path, text: str | None) -> None:
    (tmp_path / INDEX_FILE).write_text(content())
    assert holds_shards(tmp_path)
    (tmp_path / INDEX_FILE).unlink()
    if text is not None:
        (tmp_path / INDEX_FILE).write_text(text, errors="surrogateescape")
    assert not holds_shards(tmp_path)


def test_an_index_too_large_for_one_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / INDEX_FILE).open("wb") as file:
        file.truncate(2**40)
    assert not holds_shards(tmp_path)
