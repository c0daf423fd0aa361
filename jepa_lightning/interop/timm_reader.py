"""Networks of timm that are an I-JEPA's, such as its ``vit_*_ijepa``, in the form of a file of the reference."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from jepa_lightning.interop.huggingface_config import MOST_COUNT, whole_number
from jepa_lightning.interop.reading import read_weights, tensors_of
from jepa_lightning.interop.reference_file import Reference
from jepa_lightning.nn.timm_model import PREFIX, create_timm_model, timm_name

ARCHITECTURE = "architecture"  # the key of timm's config.json


def is_timm_name(source: Any) -> bool:
    """Whether a source is a name of timm, ``timm:NAME``."""
    return isinstance(source, str) and source.startswith(PREFIX)


def is_ijepa(name: str) -> bool:
    """Whether timm's weights of a name are those of an I-JEPA: it has the context encoder of the published files.

    Args:
        name: with its tag, as in ``timm:vit_huge_patch14_gap_224.in1k_ijepa``.

    Raises:
        ValueError: if timm has no such network.
    """
    bare = timm_name(name)
    tag = bare.partition(".")[2] or str(timm.get_pretrained_cfg_value(bare, "tag") or "")
    return tag.endswith("ijepa")


def open_timm_name(source: str) -> Reference:
    """Downloads the weights of a name, or takes them from the cache.

    Raises:
        ValueError: if they cannot be had, or are not of an I-JEPA.
    """
    size = timm.get_pretrained_cfg_value(timm_name(source), "input_size") or (3, 224, 224)
    network = create_timm_model(source, (int(size[1]), int(size[2])), pretrained=True)
    return of_network(network, source)


def of_network(network: Any, source: str) -> Reference:
    """A network of timm.

    Raises:
        ValueError: if it is no Vision Transformer, or has class tokens or other parts that an I-JEPA does not have.
    """
    if not isinstance(network, VisionTransformer):
        raise ValueError(f"{source} is a {type(network).__name__}, and no Vision Transformer as an I-JEPA has.")
    block: Any = network.blocks[0]
    state = dict(network.state_dict())
    found = _reference(source, Path(source), state)
    found.heads, found.image_size = int(block.attn.num_heads), tuple(network.patch_embed.img_size)
    found.eps = float(block.norm1.eps)
    return found


def open_timm_folder(folder: Path, config: Mapping[str, Any]) -> Reference:
    """A folder that ``timm.models.save_for_hf`` has written, or the hub has of timm.

    Raises:
        ValueError: if it is not of an I-JEPA.
    """
    state = tensors_of(read_weights(folder).content, folder)
    head = [name for name in state if name.startswith("head.")]
    found = _reference(str(folder), folder, {name: value for name, value in state.items() if name not in head})
    found.skipped = dict.fromkeys(head, "a head")
    arguments, pretrained = (config.get(name) or {} for name in ("model_args", "pretrained_cfg"))
    if not (isinstance(arguments, Mapping) and isinstance(pretrained, Mapping)):
        raise ValueError(f"cannot use {folder}: model_args or pretrained_cfg of its config.json is no JSON object.")
    if "num_heads" in arguments:
        found.heads = whole_number(arguments, "num_heads", folder)
    if size := pretrained.get("input_size"):
        found.image_size = _sides(size, folder)
    return found


def _sides(size: Any, folder: Path) -> tuple[int, int]:
    whole = isinstance(size, list) and len(size) == 3 and all(type(side) is int for side in size)
    if not whole or not all(1 <= side <= MOST_COUNT for side in size[1:]):
        raise ValueError(f"cannot use {folder}: its input_size is {size!r}, and channels, height and width should be.")
    return size[1], size[2]


def _reference(source: str, path: Path, state: dict[str, Tensor]) -> Reference:
    if strange := [name for name in ("cls_token", "reg_token", "blocks.0.ls1.gamma") if name in state]:
        name = source.removeprefix(PREFIX)
        raise ValueError(
            f"{source} has {strange[0]}, which the encoder of an I-JEPA does not have: build one on it, with "
            f"IJEPA('timm:{name}', pretrained=True)."
        )
    return Reference(source, path, "ijepa", {"encoder": state}, alone=True)
