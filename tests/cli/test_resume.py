import os
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import Namespace

from jepa_lightning.cli.main import main
from jepa_lightning.cli.resume import find_last, given_checkpoint, last_places, runs_folder
from jepa_lightning.interop.own_checkpoint import write_checkpoint


def options(*callbacks: Any, root: str | None = "logs") -> Namespace:
    model = Namespace(class_path="jepa_lightning.IJEPA")
    return Namespace(trainer=Namespace(default_root_dir=root, callbacks=list(callbacks) or None), model=model)


def saver(name: str, **init_args: Any) -> Namespace:
    return Namespace(class_path=f"jepa_lightning.callbacks.{name}", init_args=Namespace(**init_args))


def write(path: str, time: int = 0) -> Path:
    found = Path(path)
    found.parent.mkdir(parents=True, exist_ok=True)
    found.touch()
    os.utime(found, (time, time))
    return found


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_newest_run_is_the_one_of_the_highest_number() -> None:
    assert find_last(options()) == (None, None)
    write("logs/IJEPA/version_9/checkpoints/last.ckpt", time=2**32)  # far in the future
    newest = write("logs/IJEPA/version_10/checkpoints/last.ckpt")
    write("logs/SimCLR/version_11/checkpoints/last.ckpt")
    Path("logs/IJEPA/version_12/checkpoints").mkdir(parents=True)  # has not saved
    assert find_last(options()) == (newest, Path("logs/IJEPA/version_10"))


def test_a_folder_that_the_configuration_names_is_searched_and_no_other_run_is_taken() -> None:
    write("logs/IJEPA/version_0/checkpoints/last.ckpt")
    own = options(saver("LastCheckpoint", dirpath="mine"))
    assert find_last(own) == (None, None)
    assert last_places(own) == "mine/last.ckpt"
    mine = write("mine/last.ckpt")
    assert find_last(own) == (mine, None)
    counted = [write(f"mine/last-v{i}.ckpt", time=20 - i) for i in (2, 10)][-1]
    kept = options(saver("ModelCheckpoint", dirpath="mine", save_last=True))
    assert find_last(kept) == (counted, None)


def test_a_folder_for_other_checkpoints_does_not_count() -> None:
    write("mine/last.ckpt")
    last = write("logs/IJEPA/version_0/checkpoints/last.ckpt")
    best = saver("ModelCheckpoint", dirpath="mine", save_last=None)
    for given in (options(best), options(best, saver("LastCheckpoint", dirpath=None))):
        assert find_last(given) == (last, Path("logs/IJEPA/version_0"))


def test_the_home_folder_and_the_working_folder_as_roots(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert runs_folder(options(root="~/logs")) == tmp_path / "home/logs/IJEPA"
    assert runs_folder(options(root=None)) == Path("IJEPA")
    assert last_places(options()) == "logs/IJEPA/*/checkpoints/last.ckpt"


def test_a_checkpoint_by_its_path() -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint a/last.ckpt\."):
        given_checkpoint("a/last.ckpt")
    aside = write("a/.previous/last.ckpt")
    assert given_checkpoint("a/last.ckpt") == aside
    assert given_checkpoint(str(write("a/last.ckpt"))) == Path("a/last.ckpt")


def test_a_resumed_run_keeps_the_eps_of_the_weights_that_it_started_from(tiny_cli: str, tiny_ijepa: Any) -> None:
    write_checkpoint(tiny_ijepa(norm_eps=1e-2), Path("start.ckpt"))
    short = ("--trainer.max_steps", "1", "--trainer.callbacks", "[]", "--trainer.limit_val_batches", "0")
    main(["fit", "--config", tiny_cli, *short, "--model.start_from", "start.ckpt"])
    run = Path("logs/IJEPA/version_0")
    assert "norm_eps: null" in (run / "config.yaml").read_text()
    Path("start.ckpt").unlink()
    longer = ("--trainer.max_steps", "2", "--ckpt_path", "last")
    main(["fit", "--config", str(run / "config.yaml"), *longer])
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert (saved["global_step"], saved["hyper_parameters"]["norm_eps"]) == (2, 1e-2)
