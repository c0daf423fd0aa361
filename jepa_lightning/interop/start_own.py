"""A start from the weights of another module of this package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lightning.checkpoints import read_checkpoint, read_shards, tables_of_another_size
from jepa_lightning.interop.fitting import NotLikeError, take_norm_eps_
from jepa_lightning.interop.one_file import config_of
from jepa_lightning.interop.own_folder import OPTIONS, is_own
from jepa_lightning.interop.reading import CONFIG, check_finite, read_config, read_weights, tensors_of
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.nn.norm_eps import saved_norm_eps

SHOWN = 3


def own_state(path: Path) -> tuple[dict[str, Tensor], Any] | None:
    """The weights and the options of a module of this package; None if the path has something else.

    Args:
        path: a file or a folder.

    Raises:
        ValueError: if it is damaged, or no file of weights.
    """
    if path.is_dir():
        if not (path / CONFIG).exists():
            return _of_checkpoint(read_shards(path, optimizer=False), path)
        if not is_own(read_config(path)):
            return None
        found = read_weights(path)
        return tensors_of(found.content, path), found.config.get(OPTIONS)
    weights = read_weights(path)
    if own := config_of(weights.metadata):  # one file with its options
        return tensors_of(weights.content, path), own.get(OPTIONS)
    if isinstance(weights.content, Mapping) and "state_dict" in weights.content:
        return _of_checkpoint(read_checkpoint(path), path)
    return None


def _of_checkpoint(content: Mapping[str, Any], path: Path) -> tuple[dict[str, Tensor], Any]:
    return tensors_of(content["state_dict"], path), content.get("hyper_parameters")


def load_own_(module: Any, saved: dict[str, Tensor], options: Any, source: str) -> LoadReport:
    """Loads weights of this package; position tables that are computed stay where sizes differ.

    Args:
        module: that is to start from them.
        saved: as of ``own_state``.
        options: as of ``own_state``.
        source: for messages.

    Raises:
        NotLikeError: if names or shapes differ, or the eps of the norms.
        ValueError: if a value is not finite.
    """
    own, tables = module.state_dict(), tables_of_another_size(saved, module)
    wrong = sorted(name for name in {*own, *saved} - tables if _shape(own, name) != _shape(saved, name))
    if wrong:
        raise NotLikeError(
            f"{source} has other weights than {type(module).__name__} as it is built here: "
            f"{', '.join(wrong[:SHOWN])}{', ...' if len(wrong) > SHOWN else ''} differ. Build it with the same "
            "encoder, patches and masks; frames and image size may be others."
        )
    check_finite(saved, source)
    report = LoadReport(source, None, [name for name in saved if name not in tables])
    take_norm_eps_(module, saved_norm_eps(options), report)
    module.load_state_dict({name: value for name, value in saved.items() if name not in tables}, strict=False)
    report.reshaped |= dict.fromkeys(sorted(tables), "computed for this size")
    return report


def _shape(state: Mapping[str, Tensor], name: str) -> Any:
    return state[name].shape if name in state else None
