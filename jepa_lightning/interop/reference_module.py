"""Modules of the files of the reference: both encoders and the predictor."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from jepa_lightning.interop.architecture import ROTARY, encoder_form, levels_of, positions_of, predictor_form
from jepa_lightning.interop.empty import without_weights
from jepa_lightning.interop.fitting import fit_
from jepa_lightning.interop.huggingface_processor import statistics_of
from jepa_lightning.interop.reading import read_config
from jepa_lightning.interop.reference import input_options, norm_options
from jepa_lightning.interop.reference_ac import ac_predictor_refusal
from jepa_lightning.interop.reference_file import TARGETS, Reference
from jepa_lightning.interop.report import LoadReport

CONTEXT, TARGET = "context_encoder", "target_encoder"


def reference_options(reference: Reference, given: Mapping[str, Any], report: LoadReport) -> dict[str, Any]:
    """Options of an ``IJEPA`` or a ``VJEPA`` for the networks of a file.

    Args:
        reference: the file.
        given: options of the user's, which come first.
        report: gets choices that were made.

    Raises:
        ValueError: if it holds no encoder, or one whose size is not known.
    """
    encoder = reference.networks[_encoders(reference)[0]]
    form = encoder_form(encoder, reference.family, given.get("heads") or reference.heads, reference.path)
    options: dict[str, Any] = {"encoder": form.name, "patch_size": form.patch_size, **form.overrides()}
    if form.in_channels != 3:
        options["in_channels"] = form.in_channels
    options |= input_options(reference, form, given.get("image_size"), given.get("num_frames"), report)
    if "norm_eps" not in given:
        options |= norm_options(reference, report)
    if form.tubelet_size is not None and reference.family in ROTARY:
        options |= {"rope": True, "rope_style": "vjepa2"}
    if reference.path.is_dir():  # of transformers or of timm
        options |= statistics_of(reference.path, read_config(reference.path), report)
    state = predictor_for(reference)
    if reference.family == "vjepa2_1":
        options |= _options_of_2_1(reference, form.size.depth, state, given)
    if state is not None:
        heads = given.get("predictor_heads") or reference.predictor_heads
        found = predictor_form(state, heads, form.size.heads, reference.family)
        options |= {f"predictor_{name}": found[name] for name in ("depth", "heads")}
        options["predictor_dim"] = found["width"]
    return {**options, **given}


def predictor_for(reference: Reference) -> dict[str, Tensor] | None:
    """The predictor of a file, if a module can have it: one that predicts the tokens of the file's encoder."""
    state = reference.networks.get("predictor")
    if state is None or reference.family == "vjepa2_ac":
        return None
    if reference.family == "vjepa2_1":
        embed = state.get("predictor_embed.0.weight", state.get("predictor_embed.weight"))
        proj = state.get("predictor_proj.weight")
        if embed is not None and proj is not None and proj.shape[0] != embed.shape[1]:  # of a teacher of another width
            return None
    return state


def _options_of_2_1(
    reference: Reference, depth: int, predictor: Mapping[str, Tensor] | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What V-JEPA 2.1 has beyond V-JEPA 2; a predictor of one level needs no other norms than the last."""
    encoder = reference.networks[_encoders(reference)[0]]
    positions = positions_of(reference.family, encoder)
    found: dict[str, Any] = {
        "rope_style": positions["rope"],
        **{key: positions[key] for key in ("rope_grid", "images")},
    }
    if predictor is not None and "predictor_embed.0.weight" in predictor:
        found["levels"] = levels_of(encoder, depth, given.get("levels"), reference.path)
    if predictor is not None and "predictor_proj_context.weight" in predictor:
        found["context_loss"] = 0.5
    return found


def check_kind(cls: type, reference: Reference) -> None:
    """Refuses clips for a module of images, images for one of clips, and both for one without their networks.

    Raises:
        ValueError: if the family is of another kind.
    """
    images, axes = reference.family == "ijepa", getattr(cls, "media_axes", 3)
    other = not (hasattr(cls, "build_encoder") and hasattr(cls, "build_predictor")) or _is_abstract(cls)
    if other and reference.family == "vjepa2_ac":
        raise ValueError(ac_predictor_refusal(reference.source))
    if other or images != (axes == 3):
        right = "IJEPA" if images else "VJEPA"
        raise ValueError(f"{reference.source} is a model of {reference.family}: load it with {right}.from_pretrained.")


def _is_abstract(cls: type) -> bool:
    return bool(getattr(cls, "__abstractmethods__", None))


def module_of(cls: Any, reference: Reference, given: Mapping[str, Any]) -> tuple[Any, LoadReport]:
    """A module with the networks of a file.

    Args:
        cls: ``IJEPA``, ``VJEPA`` or a subclass of one.
        reference: the file.
        given: options in the place of those that the file says.

    Returns:
        The module, and what became of each tensor.

    Raises:
        ValueError: if it is not of this class, or a tensor has no counterpart.
    """
    check_kind(cls, reference)
    report = LoadReport(reference.source)
    options = reference_options(reference, given, report)
    with without_weights():
        module = cls(**options)
    load_networks_(module, reference, report)
    _start_rest_(module, lambda: cls(**options), report)
    return module, report


def _start_rest_(module: Any, build: Callable[[], Any], report: LoadReport) -> None:
    """Gives networks that the file does not have, such as those of a subclass, weights to start from."""
    rest = [name for name, value in module.state_dict().items() if value.is_meta]
    if not rest:
        return
    fresh = build().state_dict()
    module.load_state_dict({name: fresh[name] for name in rest}, strict=False, assign=True)
    networks = sorted({name.partition(".")[0] for name in rest})
    report.notes.append(f"{' and '.join(networks)} start{'s' if len(networks) == 1 else ''} anew")


def load_networks_(module: Any, reference: Reference, report: LoadReport) -> None:
    """Gives a module the encoders and the predictor of a file; what the file lacks starts as said in the report.

    Args:
        module: an ``IJEPA``, a ``VJEPA`` or one like them.
        reference: the file.
        report: gets what became of each tensor.

    Raises:
        ValueError: if there is no encoder, or a tensor has no counterpart in the module.
    """
    names = _encoders(reference)
    entries = {
        CONTEXT: next(name for name in ("encoder", *TARGETS) if name in names),
        TARGET: next(name for name in (*TARGETS, "encoder") if name in names),
    }
    for ours, theirs in entries.items():
        same = ours == TARGET and theirs == entries[CONTEXT]
        _fit(getattr(module, ours), reference, theirs, "encoder", ours, report, copy=same)
        if same or (ours == CONTEXT and theirs != "encoder"):
            report.notes.append(f"{ours} starts as {theirs}, since the file has no other")
    report.skipped |= reference.skipped
    if predictor_for(reference) is not None:
        _fit(module.predictor, reference, "predictor", "predictor", "predictor", report)
        return
    reason = (
        "it reads actions and states of a robot as tokens"
        if reference.family == "vjepa2_ac"
        else "it predicts a teacher's tokens"
    )
    report.skipped |= {f"predictor.{name}": reason for name in reference.networks.get("predictor", {})}
    if any(parameter.is_meta for parameter in module.predictor.parameters()):
        module.predictor = module.build_predictor()
    report.notes.append("the predictor starts anew, since the file has none for this module")


def _encoders(reference: Reference) -> list[str]:
    """The entries of a file that are encoders.

    Raises:
        ValueError: if it has none.
    """
    names = [name for name in reference.networks if name != "predictor"]
    if not names:
        has = [*reference.networks, *(["probe"] if reference.probes else [])]
        raise ValueError(f"{reference.source} has no encoder: it has {' and '.join(has)}. Give another file.")
    return names


def _fit(
    network: nn.Module, reference: Reference, entry: str, kind: str, ours: str, report: LoadReport, copy: bool = False
) -> None:
    own = LoadReport(reference.source, entry)
    fit_(network, reference.networks[entry], own, reference, kind, copy)
    report.loaded += [f"{ours}.{name}" for name in own.loaded]
    report.skipped |= {f"{entry}.{name.removeprefix(f'{entry}.')}": why for name, why in own.skipped.items()}
    report.reshaped |= {f"{ours}.{name}": how for name, how in own.reshaped.items()}
    report.notes += own.notes
