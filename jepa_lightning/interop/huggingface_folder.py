"""Folders of ``transformers`` with an I-JEPA or a V-JEPA 2, in the form of a file of the reference."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from jepa_lightning.interop.architecture import PATCHES
from jepa_lightning.interop.huggingface import (
    MASK_TOKENS,
    VIT,
    VJEPA2_ENCODER,
    VJEPA2_PREDICTOR,
    left_out,
    probe_weights,
    translate,
    vit_weights,
    vjepa2_weights,
    without_prefixes,
)
from jepa_lightning.interop.huggingface_config import check_config, image_size, whole_number
from jepa_lightning.interop.reading import read_weights, tensors_of
from jepa_lightning.interop.reference_file import Reference


def open_huggingface(folder: Path) -> Reference:
    """Reads a folder that an ``IJepaModel``, a ``VJEPA2Model`` or one with a head has been saved to.

    Their weights are those of the context encoder where the authors of ``transformers`` have converted them.

    Args:
        folder: with ``config.json`` and the weights.

    Raises:
        ValueError: if it holds another kind of model, or a tensor that such a model does not have.
    """
    content, config, _ = read_weights(folder)
    state, kind = tensors_of(content, folder), config.get("model_type")
    if kind not in ("ijepa", "vjepa2"):
        if kind is None:
            raise ValueError(f"{folder} does not say what it is: its config.json has no model_type.")
        raise ValueError(
            f"{folder} is a model of kind {kind!r}, which is not read here: ijepa and vjepa2 are, and as encoders of "
            "IJEPA vit, dinov2 and dinov2_with_registers."
        )
    check_config(config, folder)
    found = Reference(str(folder), folder, str(kind), alone=True)
    found.heads, found.eps = int(config["num_attention_heads"]), float(config["layer_norm_eps"])
    try:
        if kind == "ijepa":
            found.networks["encoder"] = vit_weights(state, VIT, ("ijepa.",))
            found.skipped = left_out(state, ("ijepa.",))
        else:
            _take_vjepa2(found, state)
    except ValueError as error:
        raise ValueError(f"cannot use {folder}: {error}") from error
    found.checked()
    if kind == "vjepa2":
        found.image_size, found.num_frames = (
            whole_number(config, name, folder) for name in ("crop_size", "frames_per_clip")
        )
        found.predictor_heads = whole_number(config, "pred_num_attention_heads", folder)
        return found
    encoder = found.networks["encoder"]
    if (table := encoder.get("pos_embed")) is not None and (patches := encoder.get(PATCHES)) is not None:
        found.image_size = image_size(config, int(patches.shape[-1]), int(table.shape[1]), folder)
    return found


def _take_vjepa2(found: Reference, state: Mapping[str, Tensor]) -> None:
    bare = without_prefixes(state, ("vjepa2.",))
    head = {name: value for name, value in bare.items() if name.startswith(("pooler.", "classifier."))}
    rest = {name: value for name, value in bare.items() if name not in head and name != MASK_TOKENS}
    _, unknown = translate(rest, (*VJEPA2_ENCODER, *VJEPA2_PREDICTOR))
    if unknown:
        raise ValueError(f"no V-JEPA 2 has {unknown[0]}.")
    encoder, predictor = vjepa2_weights(bare)
    found.networks = {"encoder": encoder, **({"predictor": predictor} if predictor else {})}
    if head:
        found.probes = [probe_weights(head)]
