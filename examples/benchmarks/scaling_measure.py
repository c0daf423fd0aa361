"""Where the time of a Trainer's steps goes, what they send, and how much memory a process takes, by public hooks.

Part of ``scaling.py``. After a warm-up, some steps are timed as wholes, as many again in their parts, and a few are
traced for their collectives. On a GPU a step and a part end when the GPU is done with it: so parts cost what they would
one after the other, and only whole steps show what overlaps.
"""

import math
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import Profiler
from step_time import now
from torch import Tensor
from torch.autograd import DeviceType
from torch.distributed.tensor import DTensor

WARM_UP, TRACED = 3, 3  # steps
PARTS = ("data", "forward", "backward", "optimizer", "EMA", "callbacks", "rest")
# what Lightning's actions are called, and the part each one is; others belong to what they happen in
ACTIONS = {
    "train_dataloader_next": "data",
    "batch_to_device": "data",
    ".training_step": "forward",
    ".backward": "backward",
    ".optimizer_step": "optimizer",
    "optimizer_zero_grad": "optimizer",
    "configure_gradient_clipping": "optimizer",
    "EMACallback": "EMA",
    "[Callback]": "callbacks",
}


class Parts(Profiler):
    """Seconds of each part of a step, without those of the parts within it."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.running = False
        self._open: list[str] = []
        self._since = 0.0

    def start(self, action_name: str) -> None:
        """Goes on to a part."""
        self.charge()
        outer = self._open[-1] if self._open else "rest"
        self._open.append(next((part for key, part in ACTIONS.items() if key in action_name), outer))

    def stop(self, action_name: str) -> None:
        """Goes back to the part around it."""
        self.charge()
        if self._open:
            self._open.pop()

    def charge(self) -> None:
        """Puts the time since the last change down to the part that is open."""
        if self.running:
            moment = now()
            self.seconds[self._open[-1] if self._open else "rest"] += moment - self._since
            self._since = moment

    def run(self, on: bool) -> None:
        """Starts or ends the measure."""
        self.charge()
        self.running, self._since = on, now()


class Measure(Callback):
    """Takes the time from the end of a batch to the end of the next, in the three phases, and the memory between."""

    def __init__(self, parts: Parts, steps: int) -> None:
        self.parts, self.steps = parts, steps
        self.ends: list[float] = []
        self.processor: list[float] = []
        self._traced = 0.0
        self.found: dict[str, Any] = {}
        self.trace = torch.profiler.profile(acc_events=True, record_shapes=True)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Bytes of this rank while it holds its gradients."""
        if trainer.global_step == WARM_UP:
            weights = list(pl_module.parameters())
            states = [value for state in optimizer.state.values() for value in state.values()]
            self.found["weights"] = num_bytes(weights)
            self.found["gradients"] = num_bytes(p.grad for p in weights if p.grad is not None)
            self.found["optimizer"] = num_bytes(value for value in states if value.ndim)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Ends a step, and a phase where it was the last one."""
        step, whole = trainer.global_step, WARM_UP + self.steps
        split = whole + self.steps
        if WARM_UP <= step <= whole:
            self.ends.append(now())
            self.processor.append(time.process_time())
        if step == whole:
            self.found["peak"] = peak_bytes(trainer.strategy.root_device.type)
            self.parts.run(True)
        elif step == split:
            self.parts.run(False)
            self.trace.start()
            self._traced = now()
        elif step == split + TRACED:
            self.found["traced"] = now() - self._traced
            self.trace.stop()


def num_bytes(tensors: Iterable[Tensor]) -> int:
    """Of what lies on this rank."""
    local = (tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors)
    return sum(tensor.numel() * tensor.element_size() for tensor in local)


def peak_bytes(device: str) -> int:
    """The most memory so far: of tensors on a GPU, else of the whole process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def collective_seconds(events: Iterable[Any]) -> float:
    """Time in which at least one collective was under way, from its start on this rank, the wait for others included.

    Args:
        events: of a ``torch.profiler`` trace.
    """
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.name.startswith("gloo:") or (event.name.startswith("nccl") and event.device_type != DeviceType.CPU)
    )
    total, until = 0.0, float("-inf")
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total / 1e6


def collective_bytes(events: Iterable[Any]) -> dict[str, float]:
    """Bytes of the whole fp32 tensors that a trace saw put together from all ranks, and summed over them.

    DDP's sums are seen where the backend does them; gloo does FSDP's there too, by all-reduce.
    """
    gathered = scattered = summed = 0
    gloo = False
    for event in events:
        sizes = [math.prod(shape) for shape in event.input_shapes or ()]
        gloo = gloo or event.name.startswith("gloo:")
        if event.name == "c10d::_allgather_base_":
            gathered += sizes[0]
        elif event.name == "c10d::_reduce_scatter_base_":
            scattered += sizes[1]
        elif event.name in ("gloo:all_reduce", "nccl:all_reduce"):
            summed += sum(sizes)
    return {"gathered": 4 * gathered, "summed": 4 * (summed if gloo else summed + scattered)}
