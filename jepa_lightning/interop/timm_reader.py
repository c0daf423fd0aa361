"""Networks of timm that are an I-JEPA's, such as its ``vit_*_ijepa``, in the form of a file of the reference."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from torch import Tensor

from jepa_lightning.interop.huggingface_config import whole_number
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
        ValueError: if it has class tokens or other parts that an I-JEPA does not have.
    """
    block = network.blocks[0]
    state = {name: value.detach() for name, value in network.state_dict().items()}
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
    state = {name: value for name, value in state.items() if not name.startswith("head.")}
    found = _reference(str(folder), folder, state)
    arguments = config.get("model_args")
    if isinstance(arguments, Mapping) and "num_heads" in arguments:
        found.heads = whole_number(arguments, "num_heads", folder)
    about = config.get("pretrained_cfg")
    if isinstance(about, Mapping) and (size := about.get("input_size")):
        if not isinstance(size, list) or len(size) != 3 or not all(type(one) is int and one > 0 for one in size):
            raise ValueError(f"cannot use {folder}: its input_size is {size!r}, and it should be three whole numbers.")
        found.image_size = (size[1], size[2])
    return found


def _reference(source: str, path: Path, state: dict[str, Tensor]) -> Reference:
    if strange := [name for name in ("cls_token", "reg_token", "blocks.0.ls1.gamma") if name in state]:
        name = source.removeprefix(PREFIX)
        raise ValueError(
            f"{source} has {strange[0]}, which the encoder of an I-JEPA does not have: build one on it, with "
            f"IJEPA('timm:{name}', pretrained=True)."
        )
    return Reference(source, path, "ijepa", {"encoder": state}, alone=True)
