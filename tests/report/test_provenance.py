import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import jepa_lightning
from jepa_lightning.report import provenance
from jepa_lightning.report.provenance import command_line, versions


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["/venv/bin/jepa-lightning", "fit", "--config", "a b.yaml"], "jepa-lightning fit --config 'a b.yaml'"),
        (["/x/jepa_lightning/__main__.py", "fit"], "python -m jepa_lightning fit"),
        (["examples/train.py", "--x", "$HOME"], "python examples/train.py --x '$HOME'"),
    ],
)
def test_the_command_can_be_typed_again(monkeypatch: Any, arguments: list[str], expected: str) -> None:
    monkeypatch.setattr(sys, "argv", arguments)
    assert command_line() == expected


def test_versions_are_those_that_are_installed() -> None:
    import lightning
    import torch

    found = versions()
    assert found["jepa_lightning"] == jepa_lightning.__version__
    assert found["lightning"] == lightning.__version__
    assert torch.__version__.startswith(found["torch"])


def test_the_commit_is_that_of_a_clone(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    package = tmp_path / "jepa_lightning"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setattr(provenance.jepa_lightning, "__file__", "/site-packages/jepa_lightning/__init__.py")
    assert "commit" not in versions()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    said = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    assert versions()["commit"] == said[:12]
    (package / "__init__.py").write_text("x = 1\n")
    assert versions()["commit"] == f"{said[:12]} and changes"
    monkeypatch.setenv("PATH", "")
    assert "commit" not in versions()
