import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_saver import save

from jepa_lightning.checkpoints import CheckpointFiles, check_shards, disk_fault, read_shards, save_whole

Build = Callable[..., Any]


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """No file can be greater; the error is the system's, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def failure(act: Callable[[], None], size: int = 10_000) -> BaseException:
    with small_disk(size), pytest.raises((Exception, CheckpointException)) as caught:
        act()
    return caught.value


def test_what_the_disk_says_is_found_behind_the_errors_of_torch(tmp_path: Path) -> None:
    large = {"weight": torch.zeros(100_000)}
    assert disk_fault(failure(lambda: CheckpointFiles().save_checkpoint(large, tmp_path / "a"))) == "File too large"
    assert disk_fault(failure(lambda: torch.save(large, tmp_path / "b"))) == "the disk is full or failed"
    assert disk_fault(failure(lambda: save(large, checkpoint_id=tmp_path / "c", no_dist=True))) is not None
    assert disk_fault(RuntimeError("another fault")) is None
    assert disk_fault(ConnectionError()) is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    trainer, path = quiet_trainer(max_steps=1), tmp_path / "last.ckpt"
    trainer.fit(tiny_ijepa(), shapes())
    with (
        small_disk(10_000),
        pytest.raises(RuntimeError, match=r"There is no older one: free some space and start again"),
    ):
        save_whole(trainer, path, trainer.save_checkpoint)
    save_whole(trainer, path, trainer.save_checkpoint)
    before = path.read_bytes()
    line = (
        rf"cannot write {path}, about 1\.\d MB, at step 1: .*\. The one before is whole: free some space and resume "
        rf"with --ckpt_path {path}$"
    )
    with small_disk(10_000), pytest.raises(RuntimeError, match=line):
        save_whole(trainer, path, trainer.save_checkpoint)
    assert path.read_bytes() == before
    assert not (tmp_path / ".unfinished").exists()


def test_other_faults_are_not_taken_for_the_disk(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(tiny_ijepa(), shapes())

    def fail(path: str) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match=r"^shapes differ$"):
        save_whole(trainer, tmp_path / "last.ckpt", fail)


def test_addresses_are_left_to_lightning(quiet_trainer: Build) -> None:
    asked: list[str] = []
    save_whole(quiet_trainer(), "s3://bucket/last.ckpt", asked.append)
    assert asked == ["s3://bucket/last.ckpt"]


def test_a_folder_gets_checksums_before_it_gets_its_name(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    trainer, path = quiet_trainer(max_steps=1, strategy="fsdp2"), tmp_path / "last.ckpt"
    trainer.fit(tiny_ijepa(), shapes())
    save_whole(trainer, path, trainer.save_checkpoint)
    assert {file.name for file in path.iterdir()} == {".metadata", "meta.pt", "__0_0.distcp", "checksums-0.json"}
    assert read_shards(path)["global_step"] == 1
    for piece in (".metadata", "meta.pt", "__0_0.distcp"):
        whole = (path / piece).read_bytes()
        # in the middle of what is kept, and in the gap between two entries
        for place in (len(whole) // 2, len(whole) - 1):
            (path / piece).write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(ValueError, match=r"cannot read"):
                check_shards(path)
        (path / piece).write_bytes(whole)
    check_shards(path)
