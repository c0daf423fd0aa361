"""Weights of any form that is read here into a module that has been built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning_utilities.core.rank_zero import rank_zero_info

from jepa_lightning.checkpoints import present, read_checkpoint
from jepa_lightning.interop.fitting import NotLikeError
from jepa_lightning.interop.hub import hub_folder, is_repository
from jepa_lightning.interop.huggingface_processor import say_other_statistics
from jepa_lightning.interop.huggingface_timm import is_on_timm, start_on_timm_
from jepa_lightning.interop.huggingface_vit_reader import VIT_KINDS, open_vit
from jepa_lightning.interop.one_file import config_of
from jepa_lightning.interop.other_libraries import is_foreign, load_foreign_
from jepa_lightning.interop.published import PUBLISHED
from jepa_lightning.interop.reading import read_config, read_weights
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.interop.start_own import load_own_, own_state
from jepa_lightning.interop.start_reference import reference_for, start_from_reference_
from jepa_lightning.interop.timm_reader import is_timm_name


def is_source(source: str) -> bool:
    """Whether there is a file or a folder, a published model of that name, or what may be a repository of the hub."""
    there = present(Path(source).expanduser()).exists()
    return there or source in PUBLISHED or is_timm_name(source) or is_repository(source)


def start_run_(module: Any, source: str, owner: str) -> str | None:
    """Loads the weights that a new run starts from; that there are none is no error yet, since the run may be resumed.

    Args:
        module: that is to start from them.
        source: as of ``start_from_``.
        owner: the option or the callback that names the source, for messages.

    Returns:
        Why they are not there, for ``refuse_missing``; None if they are loaded.

    Raises:
        MisconfigurationException: if the weights are not those of this module.
        ValueError: if the file is damaged or holds more than plain data.
    """
    if not is_source(source):
        return f"there is no {source}."
    try:
        report = start_from_(module, source)
    except FileNotFoundError as error:
        return str(error)
    except NotLikeError as error:
        raise MisconfigurationException(f"{owner}: {error}") from error
    rank_zero_info(f"Started from the weights of {report}")
    return None


def refuse_missing(missing: str | None, resumed: Any, owner: str) -> None:
    """Refuses to start a new run from nothing; a run that is resumed no longer needs the weights.

    Args:
        missing: why they are not there, as of ``start_run_``.
        resumed: ``ckpt_path`` of the Trainer.
        owner: as of ``start_run_``.

    Raises:
        MisconfigurationException: if they are not there.
    """
    if missing is not None and resumed is None:
        raise MisconfigurationException(f"{owner}: {missing}")


def start_from_(module: Any, source: str) -> LoadReport:
    """Loads weights into a module; position tables that are computed stay as they are built where sizes differ.

    Args:
        module: that is to start from them.
        source: a checkpoint of this package, a folder of ``save_pretrained`` or of ``transformers``, a file in the
            form of the reference, a published name, or a repository ``OWNER/NAME`` on the hub of Hugging Face.

    Returns:
        What became of each tensor.

    Raises:
        FileNotFoundError: if there is no such thing.
        ValueError: if it is damaged, or not of such a module.
    """
    path = hub_folder(source) if is_repository(source) else present(Path(source).expanduser())
    content = read_weights(path).content if path.is_file() else None
    if content is not None and is_foreign(content):
        return load_foreign_(module, path, content)
    bare = isinstance(content, Mapping) and not set(content).isdisjoint(module.state_dict())
    if bare and not config_of(read_weights(path).metadata):
        read_checkpoint(path)  # says what a bare state dict lacks
    if path.exists() and (own := own_state(path)) is not None:
        return load_own_(module, *own, source)
    report = LoadReport(source)
    config = read_config(path) if path.is_dir() else {}
    if config.get("model_type") in VIT_KINDS and is_on_timm(module):
        start_on_timm_(module, open_vit(path), report)
    else:
        start_from_reference_(module, reference_for(module, path if path.exists() else source, config), report)
    if config:
        say_other_statistics(module, path, config, report)
    return report
