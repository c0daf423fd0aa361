"""Our modules as checkpoints in the form of the reference."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from jepa_lightning.interop.folders import file_appearing
from jepa_lightning.interop.torch_file import write_torch
from jepa_lightning.nn import Predictor, VisionTransformer


def reference_content(module: Any) -> dict[str, Any]:
    """A dict of networks and of what the reference saves beside them; the optimizer is left out.

    Args:
        module: an ``IJEPA`` or a ``VJEPA`` with the encoder of a named size.

    Raises:
        ValueError: if the reference has no such networks.
    """
    networks = {
        name: getattr(module, ours, None)
        for name, ours in (("encoder", "context_encoder"), ("predictor", "predictor"), ("target_encoder",) * 2)
    }
    for name, network in networks.items():
        kind = Predictor if name == "predictor" else VisionTransformer
        if type(network) is not kind:
            raise ValueError(
                f"the reference has no {name} like the {type(network).__name__} of {type(module).__name__}: convert to "
                "safetensors, or to timm."
            )
    clips = len(module.context_encoder.patch) == 3
    if module.context_encoder.rope == "exact":
        raise ValueError(
            "the reference rotates in the style vjepa2, and this module's is exact: convert to safetensors."
        )
    prefix = "module.backbone." if clips else "module."
    found: dict[str, Any] = {name: _state(network, prefix) for name, network in networks.items() if network}
    return {**found, "opt": None, "scaler": None, "epoch": 0, "loss": 0.0, "batch_size": 0, "world_size": 1, "lr": 0.0}


def write_reference(module: Any, path: Path) -> None:
    """Writes such a checkpoint.

    Args:
        module: as of ``reference_content``.
        path: the file.

    Raises:
        ValueError: if the reference has no such networks.
    """
    content = reference_content(module)
    with file_appearing(path) as place:
        write_torch(content, place)


def _state(network: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value.detach().cpu() for name, value in network.state_dict().items()}
