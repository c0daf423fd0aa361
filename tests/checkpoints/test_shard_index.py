import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict_saver import save

from jepa_lightning.checkpoints.shard_index import check_claims, read_index

TENSORS = {torch.float32: 4, torch.bfloat16: 2, torch.int64: 8, torch.bool: 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tensors = {str(dtype): torch.ones(3, 2, dtype=dtype) for dtype in TENSORS}
    save({"state_dict": tensors, "optimizer_0": {"betas": (0.9, 0.99)}}, checkpoint_id=tmp_path, no_dist=True)
    return tmp_path


def test_the_index_is_what_torch_reads(folder: Path) -> None:
    ours, theirs = read_index(folder), FileSystemReader(folder).read_metadata()
    for part in ("state_dict_metadata", "planner_data", "storage_data"):
        assert getattr(ours, part) == getattr(theirs, part)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_of_every_protocol(folder: Path, protocol: int) -> None:
    index = FileSystemReader(folder).read_metadata()
    (folder / ".metadata").write_bytes(pickle.dumps(index, protocol))
    assert read_index(folder).state_dict_metadata == index.state_dict_metadata


def test_code_is_not_run(folder: Path, payload: Any) -> None:
    for content in (payload, {"more": payload}, Metadata({}, planner_data={"a": payload})):
        (folder / ".metadata").write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match=r"it holds posix\.mkdir, which is no part of an index"):
            read_index(folder)


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "torch.load", "torch.nn.Linear", "torch.hub.load", "functools.partial"]
)
def test_names_that_are_no_part_of_an_index(folder: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    (folder / ".metadata").write_bytes(b"\x80\x02c" + f"{module}\n{attribute}\n.".encode())
    with pytest.raises(ValueError, match=f"it holds {name}, which is no part"):
        read_index(folder)


def damaged(index: Any, change: Callable[[Any], None]) -> bytes:
    change(index)
    return pickle.dumps(index)


@pytest.mark.parametrize(
    "change",
    [
        lambda index: setattr(next(iter(index.storage_data.values())), "offset", -1),
        lambda index: setattr(next(iter(index.storage_data.values())), "relative_path", 3),
        lambda index: index.planner_data.clear(),
        lambda index: setattr(index, "state_dict_metadata", None),
        lambda index: setattr(index.state_dict_metadata["state_dict.torch.bool"], "size", torch.Size([3, -2])),
    ],
)
def test_an_index_that_is_not_well_formed(folder: Path, change: Any) -> None:
    (folder / ".metadata").write_bytes(damaged(FileSystemReader(folder).read_metadata(), change))
    with pytest.raises(ValueError, match=r"\.metadata: it is truncated, or not an index"):
        read_index(folder)


def test_a_small_index_does_not_ask_for_gigabytes(folder: Path) -> None:
    memo = b"\x80\x02Nr" + (2**31 - 1).to_bytes(4, "little") + b"."
    for content in (b"", b"no index", memo):
        (folder / ".metadata").write_bytes(content)
        with pytest.raises(ValueError, match=r"it is empty|it is truncated, or not an index"):
            read_index(folder)


def test_what_it_claims_is_no_more_than_there_is(folder: Path) -> None:
    index = read_index(folder)
    size = 6 * sum(TENSORS.values())
    check_claims(index, folder, size)
    with pytest.raises(ValueError, match=f"claims tensors of {size} bytes, and the shards hold {size - 1}"):
        check_claims(index, folder, size - 1)
