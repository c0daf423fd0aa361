"""A start from networks in the form of the reference, or of a kind that is translated to it."""

from collections.abc import Mapping
from typing import Any

from jepa_lightning.interop.entries import open_reference
from jepa_lightning.interop.fitting import NotLikeError, take_norm_eps_
from jepa_lightning.interop.huggingface_timm import encoders_of
from jepa_lightning.interop.huggingface_vit_reader import VIT_KINDS, open_vit
from jepa_lightning.interop.reference_file import Reference
from jepa_lightning.interop.reference_module import check_kind, load_networks_
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.interop.vit_without_class import without_class_token
from jepa_lightning.nn import SelfAttention, VisionTransformer


def reference_for(module: Any, path: Any, config: Mapping[str, Any]) -> Reference:
    """What is no file of this package, in the form of the reference.

    Args:
        module: that is to start from it; it tells how a Vision Transformer with a class token is taken.
        path: a file or a folder as a ``Path``, or a published name.
        config: ``config.json`` of a folder.

    Raises:
        NotLikeError: if the module has no encoder for it.
        ValueError: as of ``open_reference``.
    """
    kind = config.get("model_type")
    if kind not in VIT_KINDS:
        return open_reference(path)
    encoder = next(iter(encoders_of(module).values()), None)
    if not (hasattr(module, "context_encoder") and type(encoder) is VisionTransformer and len(encoder.patch) == 2):
        raise NotLikeError(
            f"{path} is a {kind}, and {type(module).__name__} has no encoder for it here: choose one of its size, as "
            "timm:NAME."
        )
    return without_class_token(open_vit(path), path)


def start_from_reference_(module: Any, reference: Reference, report: LoadReport) -> None:
    """Loads the networks of a file of the reference.

    Args:
        module: an ``IJEPA``, a ``VJEPA`` or one like them.
        reference: the file.
        report: gets what became of each tensor.

    Raises:
        NotLikeError: if heads or the eps of the norms differ, which no shape of a tensor tells.
        ValueError: if a tensor has no counterpart in the module.
    """
    reference.source = report.source
    check_kind(type(module), reference)
    _check_heads(module, reference)
    take_norm_eps_(module, reference.eps, report)
    load_networks_(module, reference, report)


def _check_heads(module: Any, reference: Reference) -> None:
    """Refuses another number of attention heads."""
    of_predictor = reference.predictor_heads if "predictor" in reference.networks else None
    for network, heads in (("context_encoder", reference.heads), ("predictor", of_predictor)):
        blocks = [layer for layer in getattr(module, network).modules() if isinstance(layer, SelfAttention)]
        if heads is not None and blocks and blocks[0].heads != heads:
            raise NotLikeError(
                f"{reference.source} has {heads} attention heads in its {network}, and {type(module).__name__} has "
                f"{blocks[0].heads} here: give {'predictor_' if network == 'predictor' else ''}heads={heads}."
            )
