"""Bad options and files through the command line: each ends in one line that names the option or the file."""

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from jepa_lightning import callbacks, data, modules
from jepa_lightning.cli.lightning_cli import JEPACLI
from jepa_lightning.cli.main import main

WRONG = (-1, math.nan, math.inf, 10**30, 1e30, "", "text", [], {"unknown": 1}, True)
# understood when a run begins, together with the optimizer
LATE = {"optimizer", "optimizer_options", "warmup", "start_from"}
# names and paths, which may be any text, and mappings with any keys
TEXT = {"root", "cache_dir", "train", "val", "path", "dirpath", "name", "default_root_dir", "model_registry", "env"}
# names of submodules, and names or places in a batch, which only a module and a batch can refuse
SOURCES = {"features", "images", "labels", "mask", "paths"}
# of labels, extras and films, which only a batch or the files can refuse
NAMES = {"label", "states", "camera"}
NO_LIMIT = {"max_epochs", "max_steps", "num_sanity_val_steps"}
LISTS = {"logger", "callbacks", "plugins", "states"}
KEYS = {"storage_options", "num_classes", "env_options"}
# what an option without a default needs
REQUIRED = {"root": ".", "train": "list.csv", "path": "weights.ckpt", "env": "TwoRooms"}


def classes(package: Any, kind: type) -> list[type]:
    found = [value for name in package.__all__ if inspect.isclass(value := getattr(package, name))]
    return [cls for cls in found if issubclass(cls, kind) and not inspect.isabstract(cls)]


def options(cls: type) -> dict[str, str]:
    """The types of a class's options as text, those of its bases in this package too."""
    found: dict[str, str] = {}
    for base in cls.__mro__:
        if base.__module__.startswith("jepa_lightning") or base is Trainer:
            parameters = inspect.signature(base.__init__).parameters.items()
            found |= {name: str(each.annotation) for name, each in parameters if each.kind is not each.VAR_KEYWORD}
    return {name: hint for name, hint in found.items() if name != "self"}


def place(cls: type, option: str, value: Any) -> dict[str, Any]:
    """The configuration that gives one option of a class a value."""
    if cls is Trainer:
        return {"trainer": {option: value}}
    needed = {name: REQUIRED[name] for name in options(cls) if name in REQUIRED}
    if cls is modules.WorldModel:  # options of the configuration before, which its default predictor would ignore
        needed |= {"predictor": "tokens"}
    if cls is data.MixedDataModule:
        parts = {"videos": data.PhysicsVideoDataModule, "images": data.ShapesDataModule}
        needed = {name: {"class_path": f"jepa_lightning.data.{part.__name__}"} for name, part in parts.items()}
    given = {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": {**needed, option: value}}
    if issubclass(cls, Callback):
        return {"trainer": {"callbacks": [given]}}
    return {"model" if issubclass(cls, LightningModule) else "data": given}


def takes(option: str, hint: str, value: Any) -> bool:
    """Whether a value of the list is right for an option after all."""
    if value is True:
        return "bool" in hint or "Literal[1" in hint
    if value == -1 or value == []:
        return option in (NO_LIMIT | SOURCES if value == -1 else LISTS)
    return option in (KEYS if isinstance(value, dict) else TEXT | SOURCES | NAMES if isinstance(value, str) else ())


def cases() -> dict[type, list[tuple[str, Any]]]:
    """Options and values by class; an option that several classes have with one type is tried with the first."""
    found, seen = {}, set()
    packages = ((modules, LightningModule), (data, LightningDataModule), (callbacks, Callback))
    for cls in [*(cls for package, kind in packages for cls in classes(package, kind)), Trainer]:
        new = {name: hint for name, hint in options(cls).items() if (name, hint) not in seen}
        seen |= new.items()
        found[cls] = [(name, value) for name, hint in new.items() for value in WRONG if not takes(name, hint, value)]
    return found


CASES = cases()


def said(arguments: list[str], capsys: Any) -> tuple[Any, str]:
    """The exit code, and all of standard error."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    return stop.value.code, capsys.readouterr().err


def stop_after_building(cli: JEPACLI) -> None:
    raise SystemExit(0)


@pytest.fixture
def fit_alone(monkeypatch: Any) -> None:
    """Builds no parsers of other commands, which take most of the time of a case and do not see its arguments."""
    fit = JEPACLI.subcommands()["fit"]
    monkeypatch.setattr(JEPACLI, "subcommands", staticmethod(lambda: {"fit": fit}))
    monkeypatch.setattr("jepa_lightning.cli.lightning_cli.TRAINER_COMMANDS", ["fit"])


@pytest.mark.slow
@pytest.mark.usefixtures("fit_alone")
@pytest.mark.parametrize("cls", filter(CASES.get, CASES), ids=lambda cls: cls.__name__)
def test_wrong_values_of_every_option(cls: type, tiny_cli: str, capsys: Any, monkeypatch: Any) -> None:
    wrong = []
    for option, value in CASES[cls]:
        stop = (lambda cli: None) if option in LATE else stop_after_building
        monkeypatch.setattr(JEPACLI, "after_instantiate_classes", stop)
        Path("wrong.yaml").write_text(yaml.safe_dump(place(cls, option, value)))
        try:
            code, text = said(["fit", "--config", tiny_cli, "--config", "wrong.yaml"], capsys)
        except Exception as error:  # a traceback for the user
            code, text = repr(error)[:300], ""
        except pytest.fail.Exception:  # the value was taken
            code, text = 0, ""
        named = option.lower() in text.lower() or (isinstance(value, dict) and "'unknown'" in text)
        if code not in (1, 2) or text.count("\n") != 1 or not named:
            wrong.append((option, value, code, text))
    assert not wrong


def test_as_many_cases_are_tried_as_there_are() -> None:
    tried = {cls: {name for name, _ in of_class} for cls, of_class in CASES.items()}
    assert sum(map(len, CASES.values())) > 1800
    assert sum(map(len, tried.values())) > 190
    assert all(tried[cls] for cls in (modules.IJEPA, data.ImageFolderDataModule, callbacks.CollapseMonitor, Trainer))
