"""Shards written one after the other, so that a run that was stopped resumes where it was."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jepa_lightning.checkpoints.whole import appearing
from jepa_lightning.data.folder_listing import require_regular
from jepa_lightning.data.shards.index import INDEX_FILE, UNFINISHED, ShardIndex, require_litdata, write_index
from jepa_lightning.data.shards.plan import ShardPlan

READERS = 8  # files that are read at a time, as they may lie on a network


def write_shards(plan: ShardPlan, output: Path, report: Callable[[int], Any] = lambda files: None) -> bool:
    """Writes the shards that are not there yet.

    They are complete once their split's folder is there: until then they lie in ``unfinished``.

    Args:
        plan: from ``plan_shards``.
        output: the folder.
        report: told the number of files of each shard, also of those that are there already.

    Returns:
        Whether there was anything to do.

    Raises:
        ValueError: if the folder holds something else.
        RuntimeError: if a file cannot be read, or another process writes there.
    """
    require_litdata()
    from filelock import FileLock, Timeout

    work = output / UNFINISHED
    finished = [_is_finished(plan, output / name) for name in plan.splits]  # both are looked at before one is written
    if all(finished):
        shutil.rmtree(work, ignore_errors=True)
        return False
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            _claim(plan, work)
            for name, shards in plan.splits.items():
                if _is_finished(plan, output / name):
                    report(sum(map(len, shards)))
                else:
                    _write_split(plan, name, work, report)
                    (work / name).replace(output / name)
            shutil.rmtree(work)
    except Timeout as error:
        raise RuntimeError(f"another process is writing shards to {output}.") from error
    return True


def _is_finished(plan: ShardPlan, folder: Path) -> bool:
    """Whether a split is all there; what is there instead raises."""
    if not folder.exists():
        return False
    if not (folder / INDEX_FILE).is_file():
        raise ValueError(f"{folder} exists and holds no shards: give another --output.")
    index = ShardIndex((folder / INDEX_FILE).read_text(), str(folder))
    if index.source != plan.source:
        raise ValueError(
            f"{folder} holds the shards of other files, or of another --shard_mb: remove it, or give another --output."
        )
    index.check(folder)
    return True


def _claim(plan: ShardPlan, work: Path) -> None:
    """Notes what the unfinished shards are made of, or compares with what they are."""
    claim = work / "source"
    found = claim.read_text() if claim.exists() else ""
    if found == plan.source:
        return
    if found or any((work / f"{name}-parts").exists() for name in plan.splits):
        raise ValueError(
            f"{work} holds a part of the shards of other files, or of another --shard_mb: remove it, or give another "
            "--output."
        )
    with appearing(claim) as place:
        place.write_text(plan.source)


def _write_split(plan: ShardPlan, name: str, work: Path, report: Callable[[int], Any]) -> None:
    folder, parts = work / name, work / f"{name}-parts"
    folder.mkdir(exist_ok=True)
    parts.mkdir(exist_ok=True)
    indices = [parts / f"{number}.json" for number in range(len(plan.splits[name]))]
    for number, (index, files) in enumerate(zip(indices, plan.splits[name], strict=True)):
        if not index.exists():
            _write_shard(plan.root, files, number, folder, index)
        report(len(files))
    ours = {"kind": plan.kind, "classes": plan.classes, "source": plan.source}
    with appearing(folder / INDEX_FILE) as place:
        write_index(place, indices, ours, stamp=plan.source)


def _write_shard(root: Path, files: list[Any], number: int, folder: Path, index: Path) -> None:
    """Writes a shard aside and moves it to its place, and its index last: with that it counts as written."""
    from litdata.streaming.writer import BinaryWriter

    aside = index.parent / "new"
    shutil.rmtree(aside, ignore_errors=True)
    # all that it is given becomes one shard
    writer = BinaryWriter(str(aside), chunk_bytes=2**32, chunk_index=number)
    with ThreadPoolExecutor(READERS) as pool:
        contents = pool.map(_content, [root / file.path for file in files])
        for place, (file, content) in enumerate(zip(files, contents, strict=True)):
            # bytes: litdata takes text that happens to be the path of a file for that file
            writer.add_item(place, (content, json.dumps(_about(file)).encode()))
    writer.done()
    (new,), (new_index,) = aside.glob("*.bin"), aside.glob(f"*{INDEX_FILE}")
    for made, name in ((new, folder / new.name), (new_index, index)):
        with appearing(name) as unfinished:  # they are on the disk when they have their names
            made.replace(unfinished)


def _about(file: Any) -> dict[str, Any]:
    """All of a record but its content."""
    start, end = getattr(file, "start", 0.0), getattr(file, "end", None)
    return {"path": file.path, "label": file.label, "start": start, "end": end}


def _content(path: Path) -> bytes:
    try:
        require_regular(path)
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).rstrip(".")
        raise RuntimeError(
            f"cannot read {path}: {reason}. Once it can be read, the same command resumes from here."
        ) from error
