import itertools
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jepa_lightning.data.trajectories.hdf5 import Hdf5Episodes
from jepa_lightning.data.trajectories.writer import EpisodeParts

h5py = pytest.importorskip("h5py", reason="needs the extra worlds")
SETTINGS = {"env": "E", "options": (1, 2)}


def episode(number: int, frames: int) -> dict[str, Any]:
    draw = np.random.default_rng(number)
    action = draw.normal(size=(frames, 2)).astype(np.float32)
    action[-1] = np.nan
    return {
        "pixels": draw.integers(0, 256, (frames, 5, 7, 2), dtype=np.uint8),
        "action": action,
        "state": draw.normal(size=(frames, 3)),
    }


LENGTHS = (4, 1, 1200, 9)
EPISODES = [episode(i, frames) for i, frames in enumerate(LENGTHS)]


def test_what_was_written_reads_back_bit_for_bit(tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    parts = EpisodeParts(output, SETTINGS)
    for i in (3, 0, 2, 1):
        assert i not in parts
        parts.write(i, EPISODES[i])
        assert i in parts
    assert parts.join(4) == sum(LENGTHS)
    assert list(tmp_path.iterdir()) == [output]
    with h5py.File(output) as file:
        for name in EPISODES[0]:
            whole = np.concatenate([each[name] for each in EPISODES])
            assert file[name].dtype == whole.dtype
            assert file[name][:].tobytes() == whole.tobytes()
        assert file["ep_len"][:].tolist() == list(LENGTHS)
        assert file["ep_offset"][:].tolist() == [0, 4, 5, 1205]
        assert file["episode_idx"][3:6].tolist() == [0, 1, 2]
        assert file["step_idx"][3:7].tolist() == [3, 0, 0, 1]
        assert json.loads(file.attrs["settings"]) == {"env": "E", "options": [1, 2]}
    found = Hdf5Episodes(output)
    for i, frames in enumerate(LENGTHS):
        pixels = EPISODES[i]["pixels"].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(found.frames(i, range(frames)).numpy(), pixels)
        np.testing.assert_array_equal(found.actions(i, range(frames)), EPISODES[i]["action"])
        np.testing.assert_array_equal(found.states(i, range(frames)), EPISODES[i]["state"].astype(np.float32))


def test_an_interrupted_run_continues(tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    EpisodeParts(output, SETTINGS).write(1, EPISODES[1])
    # killed while it wrote
    (tmp_path / "out.h5.parts" / "000000000.npz.99").write_bytes(b"half")
    (tmp_path / "out.h5.parts" / "joined.h5").write_bytes(b"half")
    parts = EpisodeParts(output, SETTINGS)
    assert [i in parts for i in (0, 1)] == [False, True]
    parts.write(0, EPISODES[0])
    assert parts.join(2) == 5
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("moment", range(6))
def test_a_run_that_was_killed_when_it_began_or_ended_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    output, moments = tmp_path / "out.h5", itertools.count()

    def at(real: Any, *arguments: Any) -> Any:
        if next(moments) == moment:
            raise KeyboardInterrupt
        return real(*arguments)

    def run() -> None:
        parts = EpisodeParts(output, SETTINGS)
        if 0 not in parts:
            parts.write(0, EPISODES[0])
        parts.join(1)

    with monkeypatch.context() as patch:
        for name in ("replace", "fsync"):
            patch.setattr(os, name, partial(at, getattr(os, name)))
        with pytest.raises(KeyboardInterrupt):
            run()
    assert not output.exists()
    run()
    assert list(tmp_path.iterdir()) == [output]
    assert Hdf5Episodes(output).frames(0, range(4)).numpy().shape == (4, 2, 5, 7)


def test_nothing_of_others_is_written_over(tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    output.write_text("mine")
    with pytest.raises(ValueError, match=r"out\.h5 is there already: give another name"):
        EpisodeParts(output, SETTINGS)
    output.unlink()
    folder = tmp_path / "out.h5.parts"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"out\.h5\.parts is not a folder that `jepa-lightning collect` wrote"):
        EpisodeParts(output, SETTINGS)
    for text in ("[]", "{", '{"made_by": "another"}'):
        (folder / "settings.json").write_text(text)
        with pytest.raises(ValueError, match=r"is not a folder that|has episodes of other settings"):
            EpisodeParts(output, SETTINGS)
    assert (folder / "mine.txt").read_text() == "mine"
    other = tmp_path / "other.h5"
    EpisodeParts(other, SETTINGS)
    with pytest.raises(ValueError, match=r"has episodes of other settings, .*'env': 'E'.*: repeat that command"):
        EpisodeParts(other, SETTINGS | {"env": "F"})
    with pytest.raises(ValueError, match=r"there is no folder .*none for out\.h5"):
        EpisodeParts(tmp_path / "none" / "out.h5", SETTINGS)


def test_a_file_that_came_meanwhile_stays(tmp_path: Path) -> None:
    output = tmp_path / "out.h5"
    parts = EpisodeParts(output, SETTINGS)
    parts.write(0, EPISODES[0])
    output.write_text("mine")
    with pytest.raises(ValueError, match="has come into being meanwhile"):
        parts.join(1)
    assert output.read_text() == "mine"


@pytest.mark.parametrize("damaged", [b"damaged", b"PK\x03\x04 and no more"], ids=["no archive", "cut short"])
def test_a_damaged_part_is_named(damaged: bytes, tmp_path: Path) -> None:
    parts = EpisodeParts(tmp_path / "out.h5", SETTINGS)
    (tmp_path / "out.h5.parts" / "000000000.npz").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"000000000\.npz cannot be read, remove it and repeat the command"):
        parts.join(1)
