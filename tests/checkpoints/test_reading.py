import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.checkpoints import last_checkpoint, last_in, model_arguments, read_checkpoint

Build = Callable[..., Any]
EMPTY: dict[str, Any] = {"state_dict": {}, "pytorch-lightning_version": "2.6.0"}


def test_last_is_of_the_run_that_began_last(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for name, time in (("version_9", 20), ("version_10", 30), ("version_2", 2**32), ("copy", 2**32)):
        path = tmp_path / name / "checkpoints/last.ckpt"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (time, time))
    newest = last_checkpoint(tmp_path)
    assert newest == tmp_path / "version_10/checkpoints/last.ckpt"
    # a run was killed just when a folder took the place of an older one
    aside = newest.parent / ".previous/last.ckpt"
    aside.parent.mkdir()
    newest.rename(aside)
    assert last_checkpoint(tmp_path) == aside


def test_the_last_of_several_runs_in_one_folder(tmp_path: Path) -> None:
    assert last_in(tmp_path / "none") is None
    for name in ("last.ckpt", "last-v2.ckpt", "last-v10.ckpt", "last-old.ckpt", "last-v11.txt"):
        (tmp_path / name).touch()
    assert last_in(tmp_path) == tmp_path / "last-v10.ckpt"


def test_options_become_arguments(tmp_path: Path) -> None:
    options = {
        "_class_path": "a.B",
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
        "name": "vit",
        "ema": (0.9, 1.0),
        "width": None,
        "flip": True,
    }
    torch.save({**EMPTY, "hyper_parameters": options}, tmp_path / "run.ckpt")
    assert model_arguments(tmp_path / "run.ckpt", "a.B") == [
        "--model.name=vit",
        "--model.ema=[0.9, 1.0]",
        "--model.width=null",
        "--model.flip=true",
    ]


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "evil"),)

    torch.save({**EMPTY, "more": Evil()}, tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match="holds more than plain data"):
        read_checkpoint(tmp_path / "run.ckpt")
    assert not (tmp_path / "evil").exists()
