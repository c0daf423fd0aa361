# B batch, N tokens, D width
"""Networks of the files that the authors of I-JEPA and V-JEPA have published, and of others in their form."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn

from jepa_lightning.interop.architecture import (
    ROTARY,
    EncoderForm,
    encoder_form,
    grid_of_table,
    levels_of,
    positions_of,
    predictor_form,
)
from jepa_lightning.interop.empty import without_weights
from jepa_lightning.interop.entries import Which, check_which, open_reference
from jepa_lightning.interop.fitting import fit_
from jepa_lightning.interop.reference_ac import ac_predictor_refusal
from jepa_lightning.interop.reference_file import TARGETS, Reference
from jepa_lightning.interop.reference_probe import probe_network
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.nn import Predictor, VisionTransformer
from jepa_lightning.nn.norm_eps import NORM_EPS

FRAMES = 16  # in a clip of V-JEPA, where a file does not say
SIDE = 256  # pixels, likewise for rotary positions


class Loaded(NamedTuple):
    """A network in eval mode, and what became of each tensor of its file.

    Attributes:
        network: an encoder, a predictor, or an attentive probe.
        report: names of the tensors that were loaded, left out or reshaped.
    """

    network: nn.Module
    report: LoadReport


def load_reference(
    path_or_name: Any,
    which: Which = "target_encoder",
    *,
    family: str | None = None,
    heads: int | None = None,
    image_size: int | Sequence[int] | None = None,
    num_frames: int | None = None,
    levels: Sequence[int] | None = None,
    probe: int = 0,
) -> Loaded:
    """A network of a file of I-JEPA, V-JEPA, V-JEPA 2 or one of its followers, ready for use.

    The target encoder is the moving average of the other, and the one that the papers evaluate. ``transformers`` and
    ``timm`` have the other one, ``encoder``, of the same files. Prefixes of wrappers are removed; every name in the
    file is loaded or has its reason in the report, and anything else is an error.

    Args:
        path_or_name: a path, or a published name such as ``ijepa_vith14_1k``, see ``interop.published.PUBLISHED``; the
            file of a name is downloaded into the cache of ``torch.hub``.
        which: ``target_encoder``, ``encoder``, ``predictor`` or ``probe``.
        family: ``ijepa``, ``vjepa``, ``vjepa2``, ``vjepa2_ac`` or ``vjepa2_1``; None finds it out, where a file tells.
        heads: number of attention heads, where the size is none of the known ones; of the encoder, for the predictor
            too.
        image_size: of the input, in pixels; None takes that of the file. Sin-cos tables are computed for another size.
        num_frames: likewise, for clips.
        levels: blocks that have norms of their own in V-JEPA 2.1, where the depth is none of the known ones.
        probe: which of the probes, where a file holds several that were trained side by side.

    Returns:
        The network in eval mode, and the report.

    Raises:
        FileNotFoundError: if there is no such file or name.
        ValueError: if it is no such file, is damaged, lacks the entry, or a tensor has no counterpart.

    Example:
        >>> import torch
        >>> from jepa_lightning import IJEPA
        >>> from jepa_lightning.interop import load_reference
        >>> module = IJEPA("vit_tiny", depth=1, image_size=32, patch_size=8, predictor_depth=1, predictor_dim=96)
        >>> torch.save({"target_encoder": module.target_encoder.state_dict()}, "reference.pth.tar")
        >>> encoder, report = load_reference("reference.pth.tar", heads=3)
        >>> encoder(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 16, 192])
        >>> print(report)
        reference.pth.tar, target_encoder: 16 tensors loaded
    """
    check_which(which)
    reference = open_reference(path_or_name, family)
    network: nn.Module
    if which == "probe":
        network, report = probe_network(reference, probe, heads)
    elif which == "predictor":
        network, report = _predictor(reference, heads, image_size, num_frames)
    else:
        network, report = encoder_network(reference, which, heads, image_size, num_frames, levels)
    return Loaded(network.eval(), report)


def encoder_network(
    reference: Reference,
    which: str,
    heads: int | None,
    image_size: int | Sequence[int] | None,
    num_frames: int | None,
    levels: Sequence[int] | None = None,
) -> tuple[VisionTransformer, LoadReport]:
    """An encoder of a file."""
    entry, state = reference.entry(which)
    report = LoadReport(reference.source, entry)
    if entry != which and reference.alone:
        report.notes.append("the file has one encoder, and does not say which")
    form = encoder_form(state, reference.family, heads or reference.heads, reference.path)
    options = input_options(reference, form, image_size, num_frames, report)
    with without_weights():
        network = VisionTransformer(
            patch_size=form.patch_size,
            **form.size._asdict(),
            in_channels=form.in_channels,
            levels=levels_of(state, form.size.depth, levels, reference.path),
            **options,
            **positions_of(reference.family, state),
            **norm_options(reference, report),
        )
    fit_(network, state, report, reference, "encoder")
    report.skipped |= reference.skipped
    return network, report


def input_options(
    reference: Reference,
    form: EncoderForm,
    image_size: int | Sequence[int] | None,
    num_frames: int | None,
    report: LoadReport,
) -> dict[str, Any]:
    """Image size, and for clips the number of frames and of a token, for which a network is built."""
    if image_size is None:
        image_size = reference.image_size
    if form.tubelet_size is None:
        if image_size is None:
            table = grid_of_table(form.table or 0, None, reference.path)
            image_size = table[-1] * form.patch_size
        return {"image_size": image_size}
    frames = num_frames or reference.num_frames or FRAMES
    if image_size is None and reference.family in ROTARY:
        image_size = SIDE
        report.notes.append(f"built for {frames} frames of {SIDE} px: rotary positions follow any size")
    elif image_size is None:
        table = grid_of_table(form.table or 0, frames // form.tubelet_size, reference.path)
        image_size = table[-1] * form.patch_size
    return {"image_size": image_size, "num_frames": frames, "tubelet_size": form.tubelet_size}


def norm_options(reference: Reference, report: LoadReport) -> dict[str, Any]:
    """The eps of the norms, where it is not the one that networks have here."""
    if reference.eps == NORM_EPS:
        return {}
    report.notes.append(f"norms have eps={reference.eps:g} as in the file")
    return {"norm_eps": reference.eps}


def _predictor(
    reference: Reference, heads: int | None, image_size: int | Sequence[int] | None, num_frames: int | None
) -> tuple[Predictor, LoadReport]:
    _, state = reference.entry("predictor")
    report = LoadReport(reference.source, "predictor")
    if reference.family == "vjepa2_ac":
        raise ValueError(ac_predictor_refusal(reference.source))
    names = [name for name in ("encoder", *TARGETS) if name in reference.networks]
    if not names:
        raise ValueError(f"{reference.source} has a predictor and no encoder, whose width and heads it needs.")
    encoder = reference.networks[names[0]]
    form = encoder_form(encoder, reference.family, heads or reference.heads, reference.path)
    options = input_options(reference, form, image_size, num_frames, report)
    size = options["image_size"]
    space = [side // form.patch_size for side in ((size, size) if isinstance(size, int) else size)]
    tubelets = [options["num_frames"] // form.tubelet_size] if form.tubelet_size else []
    with without_weights():
        network = Predictor(
            (*tubelets, *space),
            form.size.width,
            **predictor_form(state, reference.predictor_heads, form.size.heads, reference.family),
            **positions_of(reference.family, state),
            **norm_options(reference, report),
        )
    fit_(network, state, report, reference, "predictor")
    return network, report
