"""Where one training step leaves the device idle, and which operations make the host wait for it."""

import argparse
import warnings
from collections import Counter
from typing import NamedTuple

import torch
from gpu_methods import OTHERS, batches, build
from gpu_part import Part, Row
from gpu_speed import SIZES, TINY, batch_of, optimizer_of, stepper
from lightning.fabric.utilities import move_data_to_device
from small_methods import OPTIONS
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from jepa_lightning import IJEPA, JEPAModule

READS = ("aten::item", "aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero")
LEAST_GAP = 20.0  # microseconds


class Span(NamedTuple):
    """When something ran, in microseconds."""

    name: str
    start: float
    end: float


def idle(spans: list[Span], least: float = LEAST_GAP) -> tuple[float, list[Row]]:
    """The share of the time that nothing ran, and the gaps, longest first.

    Args:
        spans: may overlap.
        least: length of a gap that is listed, in microseconds.

    Returns:
        The share, and for each gap its length and what ran before and after it.
    """
    if not spans:
        return 0.0, []
    first, *others = sorted(spans, key=lambda span: span.start)
    last, total, gaps = first, 0.0, []
    for span in others:
        if (length := span.start - last.end) > 0:
            total += length
            if length >= least:
                gaps.append({"microseconds": length, "after": last.name, "before": span.name})
        last = max(last, span, key=lambda each: each.end)
    return total / (last.end - first.start), sorted(gaps, key=lambda gap: -gap["microseconds"])


def profiled(step: object, device: str) -> profile:
    """One step under the profiler, after two without it."""
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    for _ in range(2):
        step()  # type: ignore[operator]
    with profile(activities=activities) as found:
        step()  # type: ignore[operator]
        if device == "cuda":
            torch.cuda.synchronize()
    return found


def spans_of(found: profile, device: str) -> list[Span]:
    """What ran on the device; on a CPU the outermost operations."""
    events = found.events() or []
    chosen = [
        event
        for event in events
        if (event.device_type == DeviceType.CUDA if device == "cuda" else event.cpu_parent is None)
    ]
    return [Span(event.name[:80], event.time_range.start, event.time_range.end) for event in chosen]


def one_step(options: argparse.Namespace) -> Row:
    """The profile of a step of IJEPA ViT-L/16 in bfloat16."""
    cls, given, size = SIZES["IJEPA ViT-L/16, 224 px"]
    torch.manual_seed(0)
    module = (IJEPA(**TINY) if options.tiny else cls(**given)).to(options.device)
    batch = batch_of(module, 2 if options.tiny else size, options.device)
    found = profiled(stepper(module, options.device, lambda: module.objective(batch, 0.0).loss), options.device)
    spans = spans_of(found, options.device)
    share, gaps = idle(spans)
    longest = Counter[str]()
    for span in spans:
        longest[span.name] += span.end - span.start  # type: ignore[assignment]
    return {
        "idle": share,
        "gaps": gaps[:10],
        "longest": [{"name": name, "microseconds": time} for name, time in longest.most_common(10)],
    }


def waits(name: str, options: argparse.Namespace) -> Row:
    """Operations of a method's step after which the host waits, with their place on a GPU."""
    module: JEPAModule = build(name, compiled=False)
    (batch, *_) = batches(name, 1)
    module.to(options.device)
    batch = move_data_to_device(batch, options.device)
    optimizer = optimizer_of(module, options.device)  # type: ignore[arg-type]

    def step() -> None:
        loss = module.objective(batch, 0.5).loss
        optimizer.zero_grad()
        loss.backward()
        if options.device == "cuda":  # on a CPU torch's optimizer reads its counters of steps, which are there
            optimizer.step()

    if options.device != "cuda":
        counted = Counter(event.name for event in profiled(step, "cpu").events() or [] if event.name in READS)
        return {"waits": [f"{name}, {number} times" for name, number in counted.items()]}
    step()
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    places = Counter(f"{each.filename}:{each.lineno}" for each in caught if "synchroniz" in str(each.message))
    return {"waits": [f"{place}, {number} times" for place, number in places.items()]}


def check(part: Part, options: argparse.Namespace) -> None:
    """Profiles one step, and looks for waits in a step of every method.

    Args:
        part: takes the findings.
        options: ``device``, ``tiny`` and ``methods``.
    """
    part.run("one step of IJEPA ViT-L/16", lambda: one_step(options))
    for name in (*OPTIONS, *OTHERS):
        if not options.methods or name in options.methods:
            part.run(f"{name}, waits", lambda name=name: waits(name, options))
