"""Shards of an object store on the local disk: fetched before they are needed, and removed where room is short."""

import hashlib
import os
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jepa_lightning.data.shards.index import INDEX_FILE, Shard, ShardIndex

AHEAD = 4  # shards that are fetched before they are needed
HOME = Path("~/.cache/jepa_lightning")


class ShardCache:
    """A folder of shards that lies at an address, such as ``s3://bucket/images/train``.

    Args:
        url: an address that litdata knows: s3, gs, azure, r2, hf, or ``local:/path`` for a slow disk.
        home: where folders of shards are kept; None is ``~/.cache/jepa_lightning``.
        max_gb: how much of it this folder may take; None is no limit. It should hold the shards in use, which are as
            many as the window of the shuffling spans, and some more.
        options: of the connection, for litdata.

    Attributes:
        folder: where the shards are kept.
        index: theirs.

    Raises:
        RuntimeError: if there is no index, or no way to it.
    """

    def __init__(
        self, url: str, home: str | None = None, max_gb: float | None = None, options: dict[str, Any] | None = None
    ) -> None:
        self.url = url
        self.options = options
        self.max_bytes = None if max_gb is None else max_gb * 1e9
        with tempfile.TemporaryDirectory() as folder:
            self._download(INDEX_FILE, Path(folder))
            content = Path(folder, INDEX_FILE).read_text()
        self.index = ShardIndex(content, url)
        # shards that are written again have another folder
        key = hashlib.sha256(f"{url}\n{content}".encode()).hexdigest()[:16]
        self.folder = Path(home or HOME).expanduser() / key
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone(INDEX_FILE):
            kept = self.folder / INDEX_FILE
            if not kept.is_file() or kept.read_bytes() != content.encode():  # or a disk has damaged it
                new = self.folder / f"{INDEX_FILE}.new"
                new.write_bytes(content.encode())
                _replace(new, kept)

    def fetch(self, number: int) -> None:
        """Downloads a shard, unless it is there and whole: a machine that lost power may have kept a part of it.

        Raises:
            RuntimeError: if that fails, or ends early.
        """
        shard = self.index.shards[number]
        path = self.folder / shard.name
        if _is_whole(path, shard):
            return
        with self._alone(shard.name):
            if _is_whole(path, shard):  # another process was faster
                return
            new = self.folder / "new"
            new.mkdir(exist_ok=True)
            (new / shard.name).unlink(missing_ok=True)
            self._download(shard.name, new)
            if (new / shard.name).stat().st_size != shard.length:
                raise RuntimeError(
                    f"{self.url}/{shard.name} has {(new / shard.name).stat().st_size} bytes, not the {shard.length} it "
                    "was written with: upload it again."
                )
            _replace(new / shard.name, path)
        self._make_room(path)

    @contextmanager
    def fetching(self, shards: Sequence[int]) -> Iterator[Callable[[], None]]:
        """Fetches shards in the background, a few before each one is needed.

        Args:
            shards: in the order of their use.

        Yields:
            What to call when the next one comes into use.
        """
        room, over = threading.Semaphore(AHEAD), threading.Event()

        def work() -> None:
            for shard in shards:
                room.acquire()
                if over.is_set():
                    return
                try:
                    self.fetch(shard)
                except Exception:  # whoever reads the shard meets the same error, and says so
                    return

        threading.Thread(target=work, daemon=True).start()
        try:
            yield room.release
        finally:
            over.set()
            room.release()

    def _make_room(self, newest: Path) -> None:
        """Removes the shards that have been there the longest."""
        if self.max_bytes is None:
            return
        found = []
        for path in self.folder.glob("*.bin"):
            with suppress(FileNotFoundError):  # another process makes room too
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        excess = sum(size for _, size, _ in found) - self.max_bytes
        for _, size, path in sorted(found):
            if excess > 0 and path != newest:
                path.unlink(missing_ok=True)
                excess -= size

    def _download(self, name: str, folder: Path) -> None:
        from litdata.streaming.downloader import get_downloader

        source = f"{self.url}/{name}"
        try:
            get_downloader(self.url, str(folder), [], self.options).download_file(source, str(folder / name))
            if not (folder / name).is_file():  # some stores only log what went wrong
                raise FileNotFoundError("nothing came. Is the address right, and may you read it?")
            os.utime(folder / name)  # the clock of this machine, for the order of removal
        except Exception as error:  # each kind of store has its own
            reason = textwrap.shorten(str(error) or type(error).__name__, 300)
            raise RuntimeError(f"cannot fetch {source}: {reason}") from error

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        from filelock import FileLock

        with FileLock(self.folder / f"{name}.lock"):
            yield


def _replace(new: Path, path: Path) -> None:
    """Gives a file its name when its content is on the disk: a loss of power must not leave the name alone."""
    with new.open("rb+") as file:
        os.fsync(file.fileno())
    new.replace(path)


def _is_whole(path: Path, shard: Shard) -> bool:
    return path.is_file() and path.stat().st_size == shard.length
