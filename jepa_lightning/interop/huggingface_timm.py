"""Vision Transformers of ``transformers`` with class tokens, as encoders that are timm's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lightning.interop.fitting import check_all
from jepa_lightning.interop.huggingface_processor import statistics_of
from jepa_lightning.interop.reading import check_finite, read_config
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.nn import TimmViT

TIMM_KINDS = ("vit", "dinov2", "dinov2_with_registers")


def timm_network(
    folder: Path, arguments: Mapping[str, Any], state: Mapping[str, Tensor], report: LoadReport
) -> TimmViT:
    """The encoder, with its weights.

    Args:
        folder: for messages.
        arguments: of ``TimmViT``.
        state: of its ``model``.
        report: gets what was loaded.

    Raises:
        ValueError: if a tensor is missing or has no counterpart.
    """
    network = TimmViT(**arguments)
    check_all(network.model, state, report, folder)
    check_finite(state, folder)
    network.model.load_state_dict(state)
    report.loaded += [f"model.{name}" for name in state]
    return network


def module_on_timm(
    cls: Any,
    folder: Path,
    arguments: Mapping[str, Any],
    state: Mapping[str, Tensor],
    given: Mapping[str, Any],
) -> tuple[Any, LoadReport]:
    """A module with such an encoder, from which its target starts too.

    Args:
        cls: ``IJEPA``, or another class that takes an encoder.
        folder: for messages.
        arguments: of ``TimmViT``.
        state: of its ``model``.
        given: options of the module.
    """
    report = LoadReport(str(folder))
    network = timm_network(folder, arguments, state, report)
    options: dict[str, Any] = {
        "image_size": tuple(arguments["image_size"]),
        "in_channels": arguments["in_channels"],
        **statistics_of(folder, read_config(folder), report),
    }
    module = cls(encoder=network, **{**options, **given})
    report.notes.append("the predictor starts anew, and the target encoder as the other")
    return module, report
