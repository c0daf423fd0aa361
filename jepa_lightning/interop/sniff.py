"""What a file of weights is, without loading it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jepa_lightning.interop.entries import open_reference
from jepa_lightning.interop.hub import hub_folder, is_repository
from jepa_lightning.interop.huggingface_vit_reader import VIT_KINDS
from jepa_lightning.interop.one_file import config_of
from jepa_lightning.interop.own_checkpoint import is_checkpoint
from jepa_lightning.interop.own_folder import is_own
from jepa_lightning.interop.published import PUBLISHED
from jepa_lightning.interop.reading import CONFIG, read_config, read_weights
from jepa_lightning.interop.timm_reader import is_timm_name


def method_of(source: Any) -> str | None:
    """``IJEPA`` or ``VJEPA``, for weights that are not of this package; None for those that name their class.

    Args:
        source: a file or a folder, a published name, or ``OWNER/NAME`` on the hub of Hugging Face.

    Raises:
        FileNotFoundError: if there is no such thing.
        ValueError: if it is no file of weights.
    """
    if is_timm_name(source):
        return "IJEPA"
    path = Path(source).expanduser()
    if not path.exists() and str(source) in PUBLISHED:
        return "IJEPA" if PUBLISHED[str(source)].family == "ijepa" else "VJEPA"
    if is_repository(source):
        path = hub_folder(str(source))
    if path.is_dir():
        if not (path / CONFIG).exists():  # shards
            return None
        config = read_config(path)
        if is_own(config):
            return None
        if config.get("model_type") in VIT_KINDS:
            return "IJEPA"
    elif path.exists():
        weights = read_weights(path)
        if is_checkpoint(weights.content) or config_of(weights.metadata):
            return None
    return "IJEPA" if open_reference(path if path.exists() else source).family == "ijepa" else "VJEPA"


def parts_of(state: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of tensors by the network that they are of: what stands before the first point."""
    parts: dict[str, list[str]] = {}
    for name in state:
        parts.setdefault(name.partition(".")[0], []).append(name)
    return parts
