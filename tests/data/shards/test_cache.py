import os
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.data.shards.cache import AHEAD
from jepa_lightning.data.shards.records import Shards

pytest.importorskip("litdata")

Open = Callable[..., Shards]


@pytest.fixture
def store(shard_folder: Path, tmp_path: Path) -> Open:
    """The shards of training in an object store: litdata's stand-in for one, a folder that is copied from."""

    def build(max_cache_gb: float | None = None) -> Shards:
        return Shards(f"local:{shard_folder}/", "train", str(tmp_path / "cache"), max_cache_gb)

    return build


def kept(shards: Shards) -> list[int]:
    return sorted(int(path.stem.split("-")[-1]) for path in shards.folder.glob("*.bin"))


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_shards_are_fetched_when_they_are_read_and_kept(store: Open, shard_folder: Path) -> None:
    shards, there = store(), Shards(str(shard_folder), "train")
    assert kept(shards) == []
    assert [shards[i] for i in (29, 0, 1)] == [there[i] for i in (29, 0, 1)]
    assert kept(shards) == [0, 7]
    (shard_folder / "train/chunk-0-0.bin").unlink()
    assert [record.path for record in (store()[i] for i in range(2))] == [there[i].path for i in range(2)]


@pytest.mark.parametrize("left", [0, 7])
def test_what_a_loss_of_power_has_cut_is_fetched_again(store: Open, shard_folder: Path, left: int) -> None:
    shards, there = store(), Shards(str(shard_folder), "train")
    assert shards[0] == there[0]
    for name in ("index.json", "chunk-0-0.bin"):
        path = shards.folder / name
        path.write_bytes(path.read_bytes()[:left])
    assert store()[0] == there[0]
    assert (shards.folder / "index.json").read_text() == shards.shard_index.content


def test_content_is_on_the_disk_before_it_has_its_name(
    store: Open, shard_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, done = os.fsync, []

    def fsync(number: int) -> None:
        done.append(Path(os.readlink(f"/proc/self/fd/{number}")))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    shards = store()
    shards[0]
    assert done == [shards.folder / "index.json.new", shards.folder / "new" / "chunk-0-0.bin"]


def test_shards_that_are_written_anew_are_fetched_anew(store: Open, shard_folder: Path) -> None:
    first = store()
    index = shard_folder / "train/index.json"
    index.write_text(index.read_text().replace('"dog"', '"cow"'))
    assert store().shard_index.classes == ("cat", "cow")
    assert store().folder != first.folder


def test_a_downloaded_index_writes_nothing_outside_of_the_cache(
    store: Open, shard_folder: Path, tmp_path: Path
) -> None:
    (shard_folder / "payload").write_bytes(b"payload")
    index = shard_folder / "train/index.json"
    index.write_text(index.read_text().replace('"chunk-0-0.bin"', '"../payload"'))
    with pytest.raises(ValueError, match=r"names a shard outside of its folder, '\.\./payload': do not use it"):
        store()
    assert list(tmp_path.rglob("payload")) == [shard_folder / "payload"]


@pytest.mark.parametrize("cut", [0, 7])
def test_missing_and_truncated_shards_are_named(store: Open, shard_folder: Path, cut: int) -> None:
    path = shard_folder / "train/chunk-0-3.bin"
    path.write_bytes(path.read_bytes()[:-cut]) if cut else path.unlink()
    shards = store()
    message = "has .* bytes, not the .* it was written with: upload it again" if cut else "cannot fetch .*"
    with pytest.raises(RuntimeError, match=f"local:.*/train/chunk-0-3.bin.*{message}|{message}train/chunk-0-3.bin"):
        shards[shards.shard_index.starts[3]]
    assert shards[0].path


@pytest.mark.parametrize("root", ["local:/nowhere", "http://nowhere/shards", "s4://bucket/shards"])
def test_an_address_without_shards_is_named(root: str, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=f"cannot fetch {root}/train/index.json: "):
        Shards(root, "train", str(tmp_path))


def test_no_more_is_kept_than_is_allowed(store: Open, shard_folder: Path) -> None:
    shards, there = store(max_cache_gb=0.000022), Shards(str(shard_folder), "train")  # three shards
    order = [*range(30), 0, 15, 29]
    assert [shards[i].path for i in order] == [there[i].path for i in order]
    assert len(kept(shards)) <= 3
    assert {0, 7} <= set(kept(shards))


def test_shards_are_fetched_before_they_are_used_but_not_many(store: Open) -> None:
    shards = store()
    assert shards.cache
    order = [5, 2, 7, 0, 1, 3, 4, 6]
    with shards.cache.fetching(order) as taken:
        wait_for(lambda: kept(shards) == sorted(order[:AHEAD]))
        taken()
        wait_for(lambda: kept(shards) == sorted(order[: AHEAD + 1]))
        time.sleep(0.05)
        assert len(kept(shards)) == AHEAD + 1
    time.sleep(0.05)
    assert len(kept(shards)) == AHEAD + 1


def test_an_error_of_fetching_ahead_is_left_to_whoever_reads(store: Open, shard_folder: Path) -> None:
    shards = store()
    (shard_folder / "train/chunk-0-5.bin").unlink()
    assert shards.cache
    with shards.cache.fetching([5, 2]) as taken:
        taken()
    assert shards[0].path
    with pytest.raises(RuntimeError, match=r"cannot fetch .*chunk-0-5.bin"):
        shards[shards.shard_index.starts[5]]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.mark.slow
def test_shards_come_over_the_protocol_of_s3(shard_folder: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """A bucket is the first folder of a path; what is not in it is answered as S3 does, with 404."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(shard_folder.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_ACCESS_KEY_ID": "name",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    # litdata's other client insists on https
    monkeypatch.setattr("litdata.streaming.downloader.obstore_usable", lambda: False)
    there = Shards(str(shard_folder), "train")
    assert list(Shards("s3://shards", "train", str(tmp_path / "cache"))) == list(there)
    with pytest.raises(RuntimeError, match=r"cannot fetch s3://other/train/index.json: .*404"):
        Shards("s3://other", "train", str(tmp_path / "cache"))
    server.shutdown()
