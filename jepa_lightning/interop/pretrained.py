"""Modules from weights of any form that is read here: what ``from_pretrained`` of a module does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jepa_lightning.interop.entries import open_reference
from jepa_lightning.interop.hub import hub_folder, is_repository
from jepa_lightning.interop.huggingface_timm import module_on_timm
from jepa_lightning.interop.huggingface_vit_reader import VIT_KINDS
from jepa_lightning.interop.one_file import config_of
from jepa_lightning.interop.other_libraries import is_foreign, module_of_foreign
from jepa_lightning.interop.own_checkpoint import class_of_checkpoint, is_checkpoint
from jepa_lightning.interop.own_folder import is_own, read_own
from jepa_lightning.interop.reading import CONFIG, read_config, read_weights
from jepa_lightning.interop.reference_module import module_of
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.interop.timm_reader import is_ijepa, is_timm_name


class LoadedModule(NamedTuple):
    """A module in eval mode, and what became of each tensor of its file.

    Attributes:
        module: of the class that was asked for.
        report: names of the tensors that were loaded, left out or reshaped.
    """

    module: Any
    report: LoadReport


def load_pretrained(cls: Any, source: Any, options: Mapping[str, Any], **hub: Any) -> LoadedModule:
    """A module of weights in any form that is read here.

    Args:
        cls: the class of the module, or a base of it for folders that this package has written.
        source: a folder of ``save_pretrained``, a folder of ``transformers``, a checkpoint of this package (a file or
            a folder of shards), a file in the form of the reference, a published name, or a repository ``OWNER/NAME``
            on the hub of Hugging Face.
        options: of the module, in the place of those that the source says.
        hub: arguments of ``huggingface_hub.snapshot_download``.

    Returns:
        The module in eval mode, and the report.

    Raises:
        FileNotFoundError: if there is no such thing.
        ValueError: if it is of another class, is damaged, or a tensor has no counterpart.
    """
    if is_timm_name(source) and not is_ijepa(source):
        module = cls(source, pretrained=True, **options)
        return _ready(module, LoadReport(source, None, list(module.state_dict())))
    path = Path(source).expanduser()
    if is_repository(source):
        path = hub_folder(str(source), **hub)
    if path.is_dir() and (path / CONFIG).exists():
        config = read_config(path)
        if is_own(config):
            found = read_weights(path)  # of which the configuration is that of the same save as the weights
            return _ready(*read_own(cls, path, found.config, found.content, options))
        if config.get("model_type") in VIT_KINDS:
            return _ready(*module_on_timm(cls, path, options))
        return _ready(*module_of(cls, open_reference(path), options))
    weights = read_weights(path) if path.is_file() else None
    if weights and (own := config_of(weights.metadata)):
        return _ready(*read_own(cls, path, own, weights.content, options))
    if weights and is_foreign(weights.content):
        return _ready(*module_of_foreign(cls, path, weights.content, options))
    if path.is_dir() or (weights and is_checkpoint(weights.content)):
        module = class_of_checkpoint(cls, path).load_from_checkpoint(path, map_location="cpu", **options)
        return _ready(module, LoadReport(str(source), None, list(module.state_dict())))
    return _ready(*module_of(cls, open_reference(source), options))


def _ready(module: Any, report: LoadReport) -> LoadedModule:
    return LoadedModule(module.eval(), report)
