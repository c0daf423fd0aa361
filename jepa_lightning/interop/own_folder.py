"""Folders that ``save_pretrained`` writes: the class and the options of a module, and all of its weights."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jepa_lightning
from jepa_lightning.checkpoints import MADE_BY, check_classes, class_path, refuse_other_method, tables_of_another_size
from jepa_lightning.interop.empty import fill_, without_weights
from jepa_lightning.interop.fitting import check_all
from jepa_lightning.interop.plain_options import options_from_json
from jepa_lightning.interop.reading import CONFIG, UNFINISHED, WEIGHTS, check_finite, read_json, tensors_of
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.interop.safetensors_file import write_safetensors

LIBRARY, CLASS, OPTIONS = "library_name", "class_path", "options"


def is_own(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is one of this package."""
    return config.get(LIBRARY) == "jepa_lightning" and isinstance(config.get(CLASS), str)


def check_origin(folder: Path) -> None:
    """Refuses to save to a folder that has weights or a configuration which this package has not written.

    Raises:
        ValueError: if there are such files.
    """
    there = [name for name in (CONFIG, WEIGHTS) if os.path.lexists(folder / name)]
    try:
        own = CONFIG in there and read_json(folder / CONFIG).get(LIBRARY) == UNFINISHED[LIBRARY]
    except (OSError, ValueError):
        own = False
    if there and not own:
        raise ValueError(
            f"{folder} holds a {there[0]} that save_pretrained has not written, and it is left as it is: remove it, or "
            "give another folder."
        )


def own_config(module: Any) -> dict[str, Any]:
    """``config.json`` of a module.

    Raises:
        ValueError: if an option is no plain data, such as a network whose arguments are not known.
    """
    options = dict(module.hparams)
    spec = options.get("encoder")
    if isinstance(spec, Mapping) and spec.get("init_args") is None:
        raise ValueError(
            f"the arguments of the encoder {spec.get('class_path')} are not known, so it could not be built again: "
            "give the network hparams of plain data, see EncoderModule."
        )
    return {
        LIBRARY: "jepa_lightning",
        "version": jepa_lightning.__version__,
        CLASS: class_path(type(module)),
        OPTIONS: options,
    }


def write_own_weights(module: Any, folder: Path) -> None:
    """Writes all weights of a module.

    Raises:
        ValueError: if they are not finite.
    """
    state = module.state_dict()
    check_finite(state, f"the weights of {type(module).__name__}")
    write_safetensors(state, folder / WEIGHTS)


def read_own(
    cls: Any, folder: Path, config: Mapping[str, Any], content: Any, given: Mapping[str, Any]
) -> tuple[Any, LoadReport]:
    """The module of a folder, or of a file that has its configuration.

    Args:
        cls: that it should be, or a base of it.
        folder: written by ``save_pretrained``, or the file.
        config: of it.
        content: its tensors.
        given: options in the place of those in the folder.

    Raises:
        ValueError: if it is of another class, names a class that has not been imported, or is damaged.
    """
    report, owner = LoadReport(str(folder)), class_of(cls, str(config[CLASS]), folder)
    saved = config.get(OPTIONS)
    if not isinstance(saved, dict) or not all(name.isidentifier() for name in saved):
        raise ValueError(f"cannot use {folder}: its config.json has no {OPTIONS} of a module.")
    check_classes({name: value for name, value in saved.items() if name not in given}, folder)
    options = {**options_from_json(owner, saved), **given}
    if options.get("pretrained"):  # the weights are in the folder
        options["pretrained"] = False
    if options.get("start_from") and "start_from" not in given:
        options["start_from"] = None
    state = tensors_of(content, folder)
    try:
        with without_weights():
            module = owner(**options)
    except TypeError as error:
        raise ValueError(f"cannot use {folder}: {error}.") from error
    own = module.state_dict()
    for name in tables_of_another_size(state, module):
        report.reshaped[name] = "computed for this size"
        state[name] = own[name]
    check_all(module, state, report, folder)
    check_finite(state, folder)
    fill_(module, state)
    report.loaded += list(state)
    return module, report


def class_of(cls: Any, path: str, folder: Path) -> Any:
    """The class of a path if it is imported and derived from the one that is asked for, else the latter.

    Raises:
        ValueError: if it is of another method, or the class that is asked for is abstract.
    """
    refuse_other_method(cls, {MADE_BY: path}, folder)
    module, _, name = path.rpartition(".")
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    if isinstance(found, type) and issubclass(found, cls):
        return found
    if getattr(cls, "__abstractmethods__", None):
        raise ValueError(f"{folder} is of the class {path}, which is not imported: import it first.")
    return cls
