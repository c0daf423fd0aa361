"""Vision Transformers of ``transformers`` with class tokens, as encoders that are timm's."""

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from torch import nn

from jepa_lightning.interop.architecture import PATCHES
from jepa_lightning.interop.fitting import NotLikeError, check_all
from jepa_lightning.interop.huggingface_processor import statistics_of
from jepa_lightning.interop.huggingface_vit import timm_fault
from jepa_lightning.interop.huggingface_vit_reader import HuggingFaceViT, open_vit
from jepa_lightning.interop.reading import check_finite
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.interop.vit_tokens import fit_tokens
from jepa_lightning.nn import TimmBackbone, TimmViT
from jepa_lightning.nn.norm_eps import norm_eps_of

ENCODERS = ("context_encoder", "target_encoder", "encoder")  # of modules
# what a Vision Transformer of timm has or has not, by a tensor that tells
PARTS = {"reg_token": "register tokens", "blocks.0.ls1.gamma": "LayerScale"}


def encoders_of(module: Any) -> dict[str, nn.Module]:
    """The encoders of a module by name, a target encoder too."""
    found = {name: getattr(module, name, None) for name in ENCODERS}
    return {name: network for name, network in found.items() if isinstance(network, nn.Module)}


def is_on_timm(module: Any) -> bool:
    """Whether the encoders of a module are networks of timm."""
    networks = encoders_of(module).values()
    return bool(networks) and all(isinstance(network, (TimmViT, TimmBackbone)) for network in networks)


def load_vit_(model: Any, found: HuggingFaceViT, report: LoadReport) -> None:
    """Loads a Vision Transformer of ``transformers`` into one of timm that computes the same.

    Args:
        model: of timm.
        found: as of ``open_vit``.
        report: gets what became of each tensor.

    Raises:
        NotLikeError: if the network has parts that the other has not, or lacks one.
        ValueError: if a tensor is missing, of another shape, or not finite.
    """
    advice = "choose an encoder like that of the weights, as timm:NAME"
    if fault := timm_fault(model):
        raise NotLikeError(f"{report.source} does not fit this module: {fault}: {advice}.")
    own = model.state_dict()
    for name, part in PARTS.items():
        if (name in own) != (name in found.weights):
            there, here = ("has", "has none") if name in found.weights else ("has no", "has some")
            raise NotLikeError(f"{report.source} {there} {part}, and the encoder here {here}: {advice}.")
    if (heads := int(model.blocks[0].attn.num_heads)) != found.heads:
        raise NotLikeError(
            f"{report.source} has {found.heads} attention heads, and the encoder here {heads}: {advice}."
        )
    state = fit_tokens(found, model, report)
    check_all(model, state, report, report.source)
    check_finite(state, report.source)
    model.load_state_dict(state)
    report.loaded += [f"model.{name}" for name in state]


def start_on_timm_(module: Any, found: HuggingFaceViT, report: LoadReport) -> None:
    """Gives the encoders of a module the weights of a Vision Transformer of ``transformers``; the rest starts anew.

    Args:
        module: whose encoders are networks of timm.
        found: as of ``open_vit``.
        report: gets what became of each tensor, and the eps of the norms where it is another one.

    Raises:
        NotLikeError: as of ``load_vit_``.
        ValueError: as of ``load_vit_``.
    """
    networks: dict[str, Any] = encoders_of(module)
    for name, network in networks.items():
        own = LoadReport(report.source)
        load_vit_(network.model, found, own)
        report.loaded += [f"{name}.{each}" for each in own.loaded]
        report.skipped |= own.skipped
        report.reshaped |= {f"{name}.model.{each}": how for each, how in own.reshaped.items()}
    report.skipped |= found.skipped
    _say_rest(module, report)
    if (eps := norm_eps_of(next(iter(networks.values())))) != {found.eps}:
        here = ", ".join(f"{each:g}" for each in sorted(eps))
        report.notes.append(
            f"norms have eps={found.eps:g} there and keep their {here} here; for the same, give the encoder as the "
            "class path jepa_lightning.nn.TimmViT with norm_eps"
        )


def module_on_timm(cls: Any, folder: Path, given: Mapping[str, Any]) -> tuple[Any, LoadReport]:
    """A module with the encoder of a folder, from which its target starts too.

    Args:
        cls: ``IJEPA``, or another class that takes an encoder of images.
        folder: as of ``open_vit``.
        given: options of the module.

    Raises:
        ValueError: if a tensor is missing or has no counterpart, or the class is one for clips.
    """
    if getattr(cls, "media_axes", 3) != 3:
        raise ValueError(f"{folder} is a model of images, and {cls.__name__} is for clips: load it with IJEPA.")
    report, found = LoadReport(str(folder)), open_vit(folder)
    side = given.get("image_size") or found.size
    size = (side, side) if isinstance(side, int) else (side[0], side[1])
    given = dict(given)
    network = TimmViT(**_arguments(found, size), **_taken(cls, given))
    load_vit_(network.model, found, report)
    report.skipped |= found.skipped
    options: dict[str, Any] = {
        "image_size": size,
        "in_channels": network.in_channels,
        **statistics_of(folder, found.config, report),
    }
    module = cls(encoder=network, **{**options, **given})
    _say_rest(module, report)
    return module, report


def _arguments(found: HuggingFaceViT, size: tuple[int, int]) -> dict[str, Any]:
    """Of ``TimmViT``. Sizes are those of the tensors, so that no more memory is taken than the file has."""
    weights = found.weights
    width, channels = (int(side) for side in weights[PATCHES].shape[:2])
    options: dict[str, Any] = {
        "embed_dim": width,
        "depth": len({name.split(".")[1] for name in weights if name.startswith("blocks.")}),
        "num_heads": found.heads,
        "mlp_ratio": weights["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "patch_size": found.patch,
    }
    if found.config.get("model_type") != "vit":
        options["init_values"] = 1.0
    if (registers := weights.get("reg_token")) is not None:  # which have no positions
        options |= {"reg_tokens": int(registers.shape[1]), "no_embed_class": True}
    arguments = {"name": "vit_base_patch16_224", "image_size": size, "in_channels": channels, "options": options}
    return {**arguments, "norm_eps": found.eps}


def _taken(cls: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Options of a module that its network is built with, which are taken out of what was given to the module."""
    names = [name for name in ("drop_path", "gradient_checkpointing") if _default_of(cls, name) is not None]
    taken = {name: given.pop(name, _default_of(cls, name)) for name in names}
    given.update({name: type(value)() for name, value in taken.items()})
    return taken


def _default_of(cls: Any, option: str) -> Any:
    found = (signature(base.__init__).parameters.get(option) for base in cls.__mro__)
    return next((parameter.default for parameter in found if parameter is not None), None)


def _say_rest(module: Any, report: LoadReport) -> None:
    if hasattr(module, "target_encoder"):
        report.notes.append("the target encoder starts as the other")
    first = {name.partition(".")[0] for name, _ in module.named_parameters()} - set(ENCODERS)
    if rest := sorted(first):
        report.notes.append(f"{' and '.join(rest)} start{'s' if len(rest) == 1 else ''} anew")
