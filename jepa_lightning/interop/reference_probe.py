# D width, C classes
"""Attentive probes that were published beside the encoders."""

from torch import Tensor

from jepa_lightning.interop.empty import fill_, without_weights
from jepa_lightning.interop.fitting import check_all
from jepa_lightning.interop.reading import check_finite
from jepa_lightning.interop.reference_file import Reference
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.nn import AttentiveClassifier
from jepa_lightning.nn.attentive_pooler import Generation

CROSS, UNUSED = "pooler.cross_attention_block.", "pooler.cross_attention_block.xattn.proj."
HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1664: 16}  # of the probes, by the width of the encoder


def probe_network(reference: Reference, number: int, heads: int | None) -> tuple[AttentiveClassifier, LoadReport]:
    """A probe of a file.

    Args:
        reference: the file.
        number: of the probe, where there are several.
        heads: of its attention, where the width is none of ``HEADS``.

    Raises:
        ValueError: if there is no such probe, or a tensor has no counterpart.
    """
    source, probes = reference.source, reference.probes
    if not probes:
        reference.entry("probe")
    if not 0 <= number < len(probes):
        raise ValueError(f"{source} has {len(probes)} probes, and probe is {number}: count from 0.")
    state = dict(probes[number])
    report = LoadReport(source, f"probe {number} of {len(probes)}" if len(probes) > 1 else "probe")
    for name in [name for name in state if name.startswith(UNUSED)]:
        del state[name]
        report.skipped[name] = "the reference never applies it"
    state = {name.replace(CROSS, "pooler."): value for name, value in state.items()}
    network = _build(state, reference, heads or reference.heads)
    check_all(network, state, report, source)
    check_finite(state, source)
    fill_(network, state)
    report.loaded += list(state)
    return network, report


def _build(state: dict[str, Tensor], reference: Reference, heads: int | None) -> AttentiveClassifier:
    query, linear = state.get("pooler.query_tokens"), state.get("linear.weight")
    if query is None or linear is None or query.ndim != 3 or linear.ndim != 2:
        raise ValueError(
            f"cannot use {reference.source}: its probe has no pooler.query_tokens or linear.weight of a probe."
        )
    width, first = int(query.shape[-1]), [name for name in state if name.startswith("pooler.blocks.")]
    depth = 1 + len({name.split(".")[2] for name in first})
    if heads is None and width not in HEADS:
        raise ValueError(f"the number of heads of a probe of width {width} is not known: give heads.")
    with without_weights():
        generation: Generation = 2 if reference.family != "vjepa" else 1
        eps = 1e-5 if reference.heads is None else reference.eps
        return AttentiveClassifier(width, int(linear.shape[0]), depth, heads or HEADS[width], generation, eps)
