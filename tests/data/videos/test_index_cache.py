import os
import tracemalloc
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lightning.data.videos import index_cache as module
from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.frame_index import VideoIndex
from jepa_lightning.data.videos.index_cache import IndexCache

HOUR = 30 * 3600  # frames


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose index was read; a file of n bytes has n frames, a tenth of them key frames."""
    names: list[str] = []

    def find(path: Path) -> VideoIndex:
        names.append(path.name)
        length = path.stat().st_size
        return VideoIndex(array("q", range(length)), array("q", range(0, length, 10)), 1 / 30, timed=True)

    monkeypatch.setattr(module, "find_frames", find)
    return names


def write(path: Path, length: int) -> Path:
    with path.open("wb") as file:
        file.truncate(length)
    return path


@pytest.mark.parametrize(("length", "count"), [(HOUR, 40), (100, 10_000)])
def test_the_memory_of_the_indices_is_bounded(tmp_path: Path, read: list[str], length: int, count: int) -> None:
    path = write(tmp_path / "film.mp4", length)
    limit = 4 * 2**20
    cache = IndexCache(limit)
    tracemalloc.start()
    try:
        for second in range(count):
            os.utime(path, (second, second))
            read.clear()
            cache.of(path)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert 0.7 * limit < taken < 1.1 * limit


def test_the_indices_used_last_are_kept(tmp_path: Path, read: list[str]) -> None:
    paths = {name: write(tmp_path / name, HOUR) for name in "abcd"}
    cache = IndexCache(3 * 10**6)  # three films of an hour
    for name in "abcadacdb":
        assert len(cache.of(paths[name]).pts) == HOUR
    assert read == ["a", "b", "c", "d", "b"]


def test_an_index_larger_than_the_memory_leaves_the_others(tmp_path: Path, read: list[str]) -> None:
    small, large = write(tmp_path / "small", 1000), write(tmp_path / "large", HOUR)
    cache = IndexCache(100_000)
    for path in (small, large, large, small):
        cache.of(path)
    assert read == ["small", "large", "large"]


def test_the_index_is_read_once_and_anew_when_the_file_changes(
    make_video: Callable[..., Path], decodings: dict[str, int]
) -> None:
    path = make_video(length=12)
    assert [VideoFile(path).num_frames for _ in range(3)] == [12] * 3
    assert decodings == {"opened": 2, "indexed": 1, "decoded": 0}  # once to write it
    changed = make_video(length=20).stat().st_mtime_ns
    os.utime(path, ns=(changed + 1_000_000_000, changed + 1_000_000_000))
    assert [VideoFile(path).num_frames for _ in range(3)] == [20] * 3
    assert decodings == {"opened": 4, "indexed": 2, "decoded": 0}
