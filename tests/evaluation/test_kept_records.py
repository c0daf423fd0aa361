import contextlib
import json
import math
from pathlib import Path

import pytest

from jepa_lightning.evaluation.kept_records import keep_records, kept_records

FOUND = {"shape": {"accuracy": 0.1 + 0.2, "interval": [0.25, 0.5], "samples": 8}, "ü": {"r2": math.nan, "grid": None}}


def test_records_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    keep_records(path, FOUND)
    found = kept_records(path)
    assert json.dumps(found) == json.dumps(FOUND)
    assert [each.name for each in path.parent.iterdir()] == ["a.json"]


def test_those_of_an_earlier_version_have_no_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"shape": {"accuracy": 0.5}}))
    assert kept_records(path) == {"shape": {"accuracy": 0.5}}


@pytest.mark.parametrize("bad", [b"", b"\0" * 40, b"\xff", b"null", b"[]", b"{}", b'{"shape": 3}', b'{"shape": {}}'])
def test_a_file_that_holds_none_is_refused(bad: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(bad)
    with pytest.raises(ValueError, match=r"a\.json is damaged: remove it, and what it held is computed again\.$"):
        kept_records(path)


def test_every_byte_counts(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    keep_records(path, FOUND)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with contextlib.suppress(ValueError):
            # the last digits of a number may be those of the same number
            assert json.dumps(kept_records(path)) == json.dumps(FOUND)
