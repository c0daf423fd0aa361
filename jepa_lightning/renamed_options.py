"""Options of modules that have a new name, for checkpoints and configurations that hold the old one."""

import sys
from collections.abc import Mapping
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_deprecation

# of each class the old name of an option and its new one
RENAMED = {
    "DINO": {"prototypes": "num_prototypes", "bottleneck": "bottleneck_dim", "freeze_epochs": "freeze_prototypes"},
    "IJEPA": {"projector": "projector_dim"},
    "LeJEPA": {"sigreg": "sigreg_share"},
}
# of each class the options that came later, with what it did before them
ADDED = {name: {"interpolation": "bilinear"} for name in ("BYOL", "BarlowTwins", "DINO", "MAE")}


def saved_options(owner: type | str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a checkpoint as the class takes them now.

    Args:
        owner: the class that the options are of, or its name or path.
        options: all options by name, as they were saved.

    Returns:
        The options under their present names, and what the class did where it had no such option yet.
    """
    added = {option: value for name in _names(owner) for option, value in ADDED.get(name, {}).items()}
    return {**added, **with_new_names(owner, options)} if options else {}


def with_new_names(owner: type | str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options under their present names, with a DeprecationWarning for each that has an old one.

    Args:
        owner: the class that the options are of, or its name or path.
        options: by name. An old name beside its new one is kept, so that it is refused as unknown.

    Returns:
        The options in the same order.
    """
    renamed: dict[str, str] = {}
    for name in _names(owner):
        renamed |= RENAMED.get(name, {})
    found: dict[str, Any] = {}
    for option, value in options.items():
        new = renamed.get(option, option)
        if new == option or new in options:
            found[option] = value
            continue
        rank_zero_deprecation(f"option '{option}' is now called '{new}': it is read, and will be refused in 1.0.")
        # a number counted epochs, and counts steps under the new name
        found[new] = f"{value} epochs" if option == "freeze_epochs" and isinstance(value, int) else value
    return found


def with_new_names_inside(config: Any) -> Any:
    """A configuration in which the options of every class have their present names.

    Args:
        config: what a YAML file holds.
    """
    if isinstance(config, list):
        return [with_new_names_inside(item) for item in config]
    if not isinstance(config, dict):
        return config
    found = {key: with_new_names_inside(value) for key, value in config.items()}
    if isinstance(found.get("class_path"), str) and isinstance(found.get("init_args"), dict):
        found["init_args"] = with_new_names(found["class_path"], found["init_args"])
    return found


def _names(owner: type | str) -> list[str]:
    """Names of a class and of its bases, those of a path where its module has been imported."""
    if isinstance(owner, str):
        module, _, name = owner.rpartition(".")
        owner = getattr(sys.modules.get(module), name, owner)
    return [base.__name__ for base in owner.__mro__] if isinstance(owner, type) else [owner]
