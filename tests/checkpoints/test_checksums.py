import json
from pathlib import Path

import pytest

from jepa_lightning.checkpoints.checksums import check_checksums, write_checksums
from jepa_lightning.checkpoints.plain import DamagedError

FILES = {"__0_0.distcp": 0, "__0_1.distcp": 0, "__1_0.distcp": 1, "__10_0.distcp": 10, ".metadata": 0, "meta.pt": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, name in enumerate(FILES):
        (tmp_path / name).write_bytes(bytes([i]) * 1000)
    for rank in (10, 1, 0):
        write_checksums(tmp_path, rank)
    return tmp_path


def test_every_rank_sums_up_its_own_files(folder: Path) -> None:
    for rank in (0, 1, 10):
        names = set(json.loads((folder / f"checksums-{rank}.json").read_text())["crc32"])
        assert names == {name for name, writer in FILES.items() if writer == rank}
    check_checksums(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_noticed_in_every_file(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[500] ^= 64
    (folder / name).write_bytes(content)
    with pytest.raises(DamagedError, match=f"^{name} is damaged, it does not match its checksum in checksums-"):
        check_checksums(folder)


def test_a_missing_file_and_a_damaged_list_are_noticed(folder: Path) -> None:
    (folder / "__1_0.distcp").unlink()
    with pytest.raises(DamagedError, match=r"__1_0\.distcp is damaged"):
        check_checksums(folder)
    for content in ("", "[]", '{"crc32": {"a": "b"}}'):
        (folder / "checksums-1.json").write_text(content)
        with pytest.raises(DamagedError, match=r"checksums-1\.json is damaged"):
            check_checksums(folder)
    (folder / "checksums-1.json").write_text('{"crc32": {"../other": 1}}')
    with pytest.raises(DamagedError):
        check_checksums(folder)


def test_older_checkpoints_have_none(tmp_path: Path) -> None:
    check_checksums(tmp_path)
