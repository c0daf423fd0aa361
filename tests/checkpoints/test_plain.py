import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.checkpoints.plain import read_plain

CONTENT = {"weight": torch.arange(1000.0), "step": 3}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(CONTENT, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_plain_content_is_read(path: Path) -> None:
    found = read_plain(path)
    torch.testing.assert_close(found, CONTENT, rtol=0, atol=0)


def test_a_single_flipped_bit_is_noticed_wherever_it_matters(path: Path) -> None:
    whole = path.read_bytes()
    noticed = 0
    for place in range(0, len(whole), 29):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            found = read_plain(path)
        except ValueError:
            noticed += 1
        else:  # the bit was in what fills the gaps
            torch.testing.assert_close(found, CONTENT, rtol=0, atol=0)
    assert noticed > 4000 / 29


def test_a_damaged_weight_has_a_line_of_its_own(path: Path) -> None:
    whole = path.read_bytes()
    place = whole.find(CONTENT["weight"].numpy().tobytes()[400:800])  # type: ignore[attr-defined]
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ValueError, match=r"it is damaged, last/data/0 does not match its checksum\.$"):
        read_plain(path)


def test_a_file_without_checksums_is_read(tmp_path: Path) -> None:
    if not hasattr(torch.serialization, "set_crc32_options"):
        pytest.skip("torch of before 2.6 always writes them")
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(CONTENT, tmp_path / "bare.ckpt")
    finally:
        torch.serialization.set_crc32_options(True)
    torch.testing.assert_close(read_plain(tmp_path / "bare.ckpt"), CONTENT, rtol=0, atol=0)


@pytest.mark.parametrize("keep", [0, 1, 100, -1])
def test_a_truncated_file(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="it is empty" if keep == 0 else "it is truncated, or not a checkpoint"):
        read_plain(path)


def test_code_is_not_run(path: Path, payload: Any) -> None:
    for write in (lambda: torch.save({"more": payload}, path), lambda: path.write_bytes(pickle.dumps(payload))):
        write()
        with pytest.raises(ValueError, match=r"it holds more than plain data|it is truncated, or not a checkpoint"):
            read_plain(path)


def test_a_file_that_unpacks_to_much_more_than_its_size(tmp_path: Path, path: Path) -> None:
    torch.save({"weight": torch.zeros(10_000_000)}, tmp_path / "large.ckpt")
    with zipfile.ZipFile(tmp_path / "large.ckpt") as large, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as small:
        for entry in large.infolist():
            small.writestr(entry.filename, large.read(entry))
    assert path.stat().st_size < 100_000
    with pytest.raises(ValueError, match=r"it is compressed and unpacks to 4000\d+ bytes"):
        read_plain(path)


def test_tensors_that_claim_more_than_the_file_has(path: Path) -> None:
    torch.save({"state": [{"exp_avg": torch.zeros(1).expand(10**12)}]}, path)
    with pytest.raises(ValueError, match=r"it has \d+ bytes, and its tensors claim 4000000000000\."):
        read_plain(path)
    torch.save(torch.empty(10**12, device="meta"), path)
    with pytest.raises(ValueError, match="its tensors claim 4000000000000"):
        read_plain(path)
    torch.save({"small": torch.zeros(1).expand(10)}, path)
    assert read_plain(path)["small"].shape == (10,)


def test_a_storage_that_claims_more_than_the_file_has(path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "new.ckpt", "w") as new:
        for entry in old.infolist():  # 1000 is M\xe8\x03 in the pickle
            new.writestr(entry.filename, old.read(entry).replace(b"M\xe8\x03", b"J\x00\x00\x00\x10"))
    with pytest.raises(ValueError, match="it is truncated, or not a checkpoint"):
        read_plain(tmp_path / "new.ckpt")


@pytest.mark.timeout(120)
def test_pipes_folders_and_devices_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path, Path("/dev/zero")):
        with pytest.raises(ValueError, match=f"cannot read {path}: it is not a regular file"):
            read_plain(path)
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        read_plain(tmp_path / "none")


def test_a_file_that_may_not_be_read_is_not_called_truncated(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(ValueError, match=r"last.ckpt: you have no permission to read it\.$"):
        read_plain(path)
    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(ValueError, match=r"you have no permission to enter its folder\.$"):
        read_plain(path)
