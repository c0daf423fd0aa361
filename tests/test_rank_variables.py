import os
import subprocess
import sys
from typing import Any

import pytest

from jepa_lightning.rank_variables import NAMES, check_rank_variables


@pytest.mark.parametrize("value", ["abc", "", " 1", "-1", "1.0"])
def test_values_that_are_not_whole_numbers_are_refused(monkeypatch: Any, value: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(
        ValueError, match=f"the environment variable WORLD_SIZE is {value!r}, and must be a whole number"
    ):
        check_rank_variables()


def test_whole_numbers_and_nothing_are_taken(monkeypatch: Any) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    check_rank_variables()
    for name in NAMES:
        monkeypatch.setenv(name, "3")
    check_rank_variables()


@pytest.mark.parametrize("name", ["LOCAL_RANK", "SLURM_NTASKS"])
def test_the_command_line_has_one_line(name: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "jepa_lightning", "methods"],
        env={**os.environ, name: "x"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.startswith(
        f"jepa-lightning: error: the environment variable {name} is 'x', and must be a whole"
    )
    assert len(result.stderr.splitlines()) == 1
