"""Files that are not what they should be: each ends in one line that names the file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jepa_lightning.data.trajectories.hdf5 import Hdf5Episodes

Write = Callable[..., Path]
h5py = pytest.importorskip("h5py", reason="needs the extra worlds")
ROWS = 33
NAN_INSIDE = np.where(np.arange(ROWS)[:, None] == 10, np.nan, np.zeros((ROWS, 2)))
INF_AT_END = np.where(np.arange(ROWS)[:, None] == 8, np.inf, np.zeros((ROWS, 2)))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"action": None}, "there is no 'action', only ep_len, ep_offset, pixels, state"),
        ({"pixels": None}, "there is no 'pixels'"),
        ({"ep_len": None}, "there is no 'ep_len'"),
        ({"ep_len": [9, 5, 12, 8]}, "in ep_len add up to 34, and there are 33 frames"),
        ({"ep_len": [9, 5, 12, -7]}, "ep_len has numbers from -7 to 12, with 33 frames"),
        ({"ep_len": [9, 5, 12, 7, 0]}, "ep_len has no episode, or one without frames"),
        ({"ep_len": np.zeros(0, int)}, "ep_len has no episode"),
        ({"ep_len": [9.0, 5.0, 12.0, 7.0]}, r"ep_len must be integers \[E\], and is float64 \[4\]"),
        ({"ep_len": [[9, 5], [12, 7]]}, r"ep_len must be integers \[E\]"),
        ({"ep_len": np.array([2**63 + 9, 2**63 - 9, 12, 21], np.uint64)}, "ep_len has numbers from"),
        ({"ep_offset": [0, 9, 14, 25]}, "ep_offset is not where the episodes begin"),
        ({"action": NAN_INSIDE}, r"the action at step 1 of episode 1, row 10, is \[nan, nan\]; only that of"),
        ({"action": INF_AT_END}, r"the action at step 8 of episode 0, row 8, is \[inf, inf\]"),
        ({"action": np.zeros(ROWS)}, r"action must be numbers \[N, A\], and is float64 \[33\]"),
        ({"action": np.zeros((ROWS, 0))}, "action must be numbers"),
        ({"action": np.zeros((ROWS - 1, 2))}, "action has 32 rows, and pixels have 33"),
        ({"action": np.full((ROWS, 2), b"left")}, "action must be numbers"),
        ({"pixels": np.zeros((ROWS, 4, 4, 3))}, r"pixels must be uint8 \[N, H, W, C\], and are float64"),
        ({"pixels": np.zeros((ROWS, 4, 4), np.uint8)}, "pixels must be uint8"),
        ({"pixels": np.zeros((0, 4, 4, 3), np.uint8)}, "pixels must be uint8"),
        ({"state": np.zeros((ROWS - 1, 1))}, r"state must be numbers \[33, ...\], and is float64 \[32, 1\]"),
        ({"state": np.full(ROWS, b"x")}, "state must be numbers"),
    ],
)
def test_wrong_columns(episodes_file: Write, columns: dict[str, Any], message: str) -> None:
    path = episodes_file(**columns)
    with pytest.raises(ValueError, match=message) as caught:
        Hdf5Episodes(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_states_that_are_not_there(episodes_file: Write) -> None:
    with pytest.raises(ValueError, match="there is no 'speed', only action, ep_len"):
        Hdf5Episodes(episodes_file(), ["speed"])


def test_other_files(tmp_path: Path, episodes_file: Write) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none\.h5"):
        Hdf5Episodes(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(ValueError, match=r"text\.h5 is not a whole HDF5 file"):
        Hdf5Episodes(tmp_path / "text.h5")
    whole = episodes_file().read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.h5 is not a whole HDF5 file"):
        Hdf5Episodes(tmp_path / "cut.h5")
    with pytest.raises(ValueError, match="is not a whole HDF5 file: it is not a regular file"):
        Hdf5Episodes(tmp_path)


def test_nothing_is_read_from_other_files(tmp_path: Path, episodes_file: Write) -> None:
    other = episodes_file()
    linked = episodes_file(pixels=None)
    with h5py.File(linked, "a") as file:
        file["pixels"] = h5py.ExternalLink(other, "pixels")
    with pytest.raises(ValueError, match="'pixels' is a link, and links are not followed"):
        Hdf5Episodes(linked)
    virtual = episodes_file(pixels=None)
    with h5py.File(virtual, "a") as file, h5py.File(other) as source:
        layout = h5py.VirtualLayout((ROWS, 6, 8, 3), np.uint8)
        layout[:] = h5py.VirtualSource(source["pixels"])
        file.create_virtual_dataset("pixels", layout)
    with pytest.raises(ValueError, match="the numbers of 'pixels' lie in other files"):
        Hdf5Episodes(virtual)
    outside = episodes_file(pixels=None)
    with h5py.File(outside, "a") as file:
        raw = [(str(tmp_path / "raw"), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("pixels", (ROWS, 6, 8, 3), np.uint8, external=raw)
    with pytest.raises(ValueError, match="the numbers of 'pixels' lie in other files"):
        Hdf5Episodes(outside)
    group = episodes_file(pixels=None)
    with h5py.File(group, "a") as file:
        file.create_group("pixels")
    with pytest.raises(ValueError, match="'pixels' is a group"):
        Hdf5Episodes(group)


def test_chunks_that_do_not_fit_into_memory(episodes_file: Write) -> None:
    path = episodes_file((4,), pixels=None, action=np.zeros((4, 2)), state=None, ep_len=[4], ep_offset=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("pixels", (4, 2**15, 2**15, 3), np.uint8, chunks=(1, 2**15, 2**15, 3), compression="gzip")
    with pytest.raises(ValueError, match="the chunks of 'pixels' have more than 1073741824 bytes"):
        Hdf5Episodes(path)


def test_without_h5py_one_line_says_what_to_install(episodes_file: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = episodes_file()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"HDF5 files need h5py: pip install 'jepa_lightning\[worlds\]'"):
        Hdf5Episodes(path)
