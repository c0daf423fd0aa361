"""Weights of any form that is read here into a module that has been built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lightning.checkpoints import present, read_checkpoint, read_shards, tables_of_another_size
from jepa_lightning.interop.entries import open_reference
from jepa_lightning.interop.one_file import config_of
from jepa_lightning.interop.other_libraries import is_foreign, load_foreign_
from jepa_lightning.interop.own_folder import is_own
from jepa_lightning.interop.published import PUBLISHED
from jepa_lightning.interop.reading import CONFIG, read_config, read_weights, tensors_of
from jepa_lightning.interop.reference_module import check_kind, load_networks_
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.interop.timm_reader import is_timm_name

SHOWN = 3


class NotLikeError(ValueError):
    """The weights are of another module than the one that was built."""


def is_source(source: str) -> bool:
    """Whether there is a file or a folder, or a published model of that name."""
    return present(Path(source).expanduser()).exists() or source in PUBLISHED or is_timm_name(source)


def start_from_(module: Any, source: str) -> LoadReport:
    """Loads weights into a module; position tables that are computed stay as they are built where sizes differ.

    Args:
        module: that is to start from them.
        source: a checkpoint of this package, a folder of ``save_pretrained`` or of ``transformers``, a file in the
            form of the reference, or a published name.

    Returns:
        What became of each tensor.

    Raises:
        FileNotFoundError: if there is no such thing.
        ValueError: if it is damaged, or not of such a module.
    """
    path = present(Path(source).expanduser())
    content = read_weights(path).content if path.is_file() else None
    if content is not None and is_foreign(content):
        return load_foreign_(module, path, content)
    bare = isinstance(content, Mapping) and not set(content).isdisjoint(module.state_dict())
    if bare and not config_of(read_weights(path).metadata):
        read_checkpoint(path)  # says what a bare state dict lacks
    if path.exists() and (state := _own_state(path)) is not None:
        return _load_own_(module, state, source)
    reference = open_reference(path if path.exists() else source)
    reference.source = source
    check_kind(type(module), reference)
    report = LoadReport(source)
    load_networks_(module, reference, report)
    return report


def _own_state(path: Path) -> dict[str, Tensor] | None:
    """The weights of a module of this package; None if the path has something else."""
    if path.is_dir():
        if not (path / CONFIG).exists():
            return tensors_of(read_shards(path, optimizer=False)["state_dict"], path)
        return tensors_of(read_weights(path).content, path) if is_own(read_config(path)) else None
    weights = read_weights(path)
    if config_of(weights.metadata):  # one file with its options
        return tensors_of(weights.content, path)
    if isinstance(weights.content, Mapping) and "state_dict" in weights.content:
        return tensors_of(read_checkpoint(path)["state_dict"], path)
    return None


def _load_own_(module: Any, saved: dict[str, Tensor], source: str) -> LoadReport:
    own, tables = module.state_dict(), tables_of_another_size(saved, module)
    wrong = sorted(name for name in {*own, *saved} - tables if _shape(own, name) != _shape(saved, name))
    if wrong:
        raise NotLikeError(
            f"{source} has other weights than {type(module).__name__} as it is built here: "
            f"{', '.join(wrong[:SHOWN])}{', ...' if len(wrong) > SHOWN else ''} differ. Build it with the same "
            "encoder, patches and masks; frames and image size may be others."
        )
    module.load_state_dict({name: value for name, value in saved.items() if name not in tables}, strict=False)
    report = LoadReport(source, None, [name for name in saved if name not in tables])
    report.reshaped |= dict.fromkeys(sorted(tables), "computed for the size at hand")
    return report


def _shape(state: Mapping[str, Tensor], name: str) -> Any:
    return state[name].shape if name in state else None
