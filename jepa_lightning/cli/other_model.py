"""Another model than the one that a configuration was written for."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from jepa_lightning.modules import JEPAModule
from jepa_lightning.modules.unused_options import as_plain, default_of


def leave_out_unused(model: Any, arguments: Sequence[str]) -> list[str]:
    """Puts options back to their default where the model of the command line would ignore them.

    So ``--config FILE --model NAME`` works with any NAME: options that the class does not have are left out by the
    parser, and those that it has and would ignore here. What the command line gives stays, and is refused by the class.

    Args:
        model: the parsed model, changed in place.
        arguments: of the command line.

    Returns:
        The options that had another value than their default.
    """
    if not any(each.partition("=")[0] in ("--model", "--model.class_path") for each in arguments):
        return []
    module, _, name = model.class_path.rpartition(".")
    cls: type[JEPAModule] = getattr(import_module(module), name)
    options = model.init_args.as_dict()
    found, given = [], {each.partition("=")[0].replace(".init_args.", ".") for each in arguments}
    for option in cls.unused_options(options):
        default = default_of(cls, option)
        known = option in options and f"--model.{option}" not in given
        if known and as_plain(options[option]) != as_plain(default):
            model.init_args[option] = default
            found.append(option)
    return found
