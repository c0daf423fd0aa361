"""Memory that a forked worker comes to own by reading a list of files: Python records against the package's arrays.

python examples/benchmarks/worker_memory.py
python examples/benchmarks/worker_memory.py --files 14200000

Names are made up, as many as ImageNet-1k has images by default; no file is read. Linux alone says how much memory of a
process is its own.
"""

import argparse
import multiprocessing
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jepa_lightning.data.file_list import FileList
from jepa_lightning.data.file_walk import MediaFile


def private_mib() -> float:
    """Memory of this process that it shares with no other, in MiB."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    return sum(int(kib) for kib in re.findall(r"Private_(?:Clean|Dirty): *(\d+)", rollup)) / 1024


def read(files: Sequence[Any], result: Any) -> None:
    """What a worker does with the list in an epoch: it reads each record."""
    before = private_mib()
    for index in range(len(files)):
        tuple(files[index])  # counts a reference to each item, as any use does
    result.send(private_mib() - before)


def grown(files: Sequence[Any]) -> float:
    """MiB that a forked process has more of its own after it has read all records."""
    fork = multiprocessing.get_context("fork")
    result, sender = fork.Pipe(duplex=False)
    worker = fork.Process(target=read, args=(files, sender))
    worker.start()
    found: float = result.recv()
    worker.join()
    return found


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_281_167, help="records in the list")
    parser.add_argument("--classes", type=int, default=1000, help="classes that they are of")
    options = parser.parse_args(args)
    classes = [f"n{number:08d}" for number in range(options.classes)]
    records = [
        MediaFile(f"train/{name}/{name}_{number}.JPEG", name)
        for number in range(options.files)
        for name in [classes[number % options.classes]]
    ]
    arrays = FileList(records)
    listed, packed = grown(records), grown(arrays)
    print(f"{options.files:,} files, private memory of a worker after one pass: records {listed:.1f} MiB, ", end="")
    print(f"arrays {packed:.1f} MiB")


if __name__ == "__main__":
    main()
