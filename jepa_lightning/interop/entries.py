"""Checkpoints of the reference: their entries, without the prefixes that wrappers have left."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from torch import Tensor

from jepa_lightning.interop.architecture import PATCHES, check_family
from jepa_lightning.interop.huggingface_folder import open_huggingface
from jepa_lightning.interop.published import Published, locate, reading
from jepa_lightning.interop.reading import read_config, read_weights, tensors_of
from jepa_lightning.interop.reference_file import TARGETS, Reference
from jepa_lightning.interop.timm_reader import ARCHITECTURE, is_timm_name, open_timm_folder, open_timm_name

Which = Literal["target_encoder", "encoder", "predictor", "probe"]
PREFIXES = ("module.", "backbone.")
NETWORKS = ("encoder", *TARGETS, "predictor")
PROBES = ("classifier", "classifiers")
LOOP = {"opt", "scaler", "epoch", "loss", "batch_size", "world_size", "lr", "itr", "best_acc"}


def open_reference(path_or_name: Any, family: str | None = None) -> Reference:
    """Reads a file in the form of the reference; tensors stay on disk.

    Args:
        path_or_name: a path, also of a folder of ``transformers``, or a published name, see ``PUBLISHED``.
        family: of the model; None finds it out.

    Raises:
        FileNotFoundError: if there is no such file or name.
        ValueError: if it is something else or damaged, or the family cannot be told.
    """
    check_family(family)
    if is_timm_name(path_or_name):
        return open_timm_name(path_or_name)
    path, published = locate(path_or_name)
    if path.is_dir():
        config = read_config(path)
        return open_timm_folder(path, config).checked() if ARCHITECTURE in config else open_huggingface(path)
    found = _read(path, str(path_or_name)).checked()
    found.family = family or _family(found, published)
    if published and published.family == found.family:
        found.image_size, found.num_frames = published.image_size, published.num_frames
    return found


def _read(path: Path, source: str) -> Reference:
    """The entries of a file."""
    with reading(source, path):
        content = read_weights(path).content
    found = Reference(source, path, "")
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"cannot use {path}: it holds no dict of networks.")
    if not set(content) & {*NETWORKS, *PROBES} and all(isinstance(value, Tensor) for value in content.values()):
        content, found.alone = {"encoder": content}, True
    for name, value in content.items():
        if name in NETWORKS:
            found.networks[name] = without_prefixes(tensors_of(value, path, f"its entry {name}"))
        elif name in PROBES:
            each = value if isinstance(value, (list, tuple)) else [value]
            found.probes += [without_prefixes(tensors_of(one, path, f"its entry {name}")) for one in each]
        elif name in LOOP:
            found.loop[name] = value
        else:
            raise ValueError(
                f"cannot use {path}: it holds {name!r}, which no file of the reference has. {_lightning(content)}"
            )
    if not (found.networks or found.probes):
        raise ValueError(f"cannot use {path}: it holds {', '.join(map(str, content))}, and no network.")
    return found


def without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes what wrappers have put before the names, as the reference's own loaders do.

    Raises:
        ValueError: if two tensors would have one name.
    """
    stripped: dict[str, Tensor] = {}
    for name, value in state.items():
        for prefix in PREFIXES:
            name = name.replace(prefix, "")
        if name in stripped:
            raise ValueError(f"the weights have {name} twice, under other prefixes.")
        stripped[name] = value
    return stripped


def _family(found: Reference, published: Published | None) -> str:
    """Which model a file is of; what is published under its name counts where its tensors leave it open."""
    if not found.networks:
        return "vjepa2" if any(name.startswith("pooler.blocks.") for name in found.probes[0]) else "vjepa"
    encoder = next((found.networks[name] for name in (*TARGETS, "encoder") if name in found.networks), {})
    predictor = found.networks.get("predictor", {})
    if "action_encoder.weight" in predictor:
        return "vjepa2_ac"
    if any(name.startswith(("norms_block.", "patch_embed_img.")) for name in encoder):
        return "vjepa2_1"
    patches, tokens = encoder.get(PATCHES), sum(name.startswith("mask_tokens.") for name in predictor)
    if "mask_token" in predictor or (patches is not None and patches.ndim == 4 and not tokens):
        return "ijepa"
    if encoder and "pos_embed" not in encoder:
        return "vjepa2"
    if tokens:  # files of the second version have a table too, which it does not use
        return "vjepa" if tokens == 2 else "vjepa2"
    if published:
        return published.family
    raise ValueError(
        f"{found.source} may be of V-JEPA, which adds its position table, or of V-JEPA 2, which rotates and has one "
        "without using it: give family='vjepa' or family='vjepa2'."
    )


def _lightning(content: Mapping[Any, Any]) -> str:
    if "state_dict" in content:
        return "A checkpoint of this package is loaded with load_from_checkpoint or from_pretrained."
    return f"Those have {', '.join(NETWORKS)} and what belongs to training."


def check_which(which: str) -> None:
    """Refuses an entry that there is not.

    Raises:
        ValueError: if it is none of ``Which``.
    """
    if which not in get_args(Which):
        raise ValueError(f"there is no entry '{which}': choose one of {', '.join(get_args(Which))}.")
