"""Time and memory of a training step of the published sizes, against a plain loop on the same networks."""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from gpu_part import Part, Row
from lightning.fabric.utilities import move_data_to_device
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.ema import EMAPair
from jepa_lightning.modules import LatentPrediction
from jepa_lightning.nn import blocks_of, compile_blocks
from jepa_lightning.types import Batch

Step = Callable[[], object]
SIZES: dict[str, tuple[type[LatentPrediction], Row, int]] = {
    "IJEPA ViT-L/16, 224 px": (IJEPA, {"encoder": "vit_large", "predictor_depth": 12}, 64),
    "IJEPA ViT-H/14, 224 px": (IJEPA, {"encoder": "vit_huge", "patch_size": 14, "predictor_depth": 12}, 32),
    "VJEPA ViT-L/16, 16 frames, 224 px": (VJEPA, {"encoder": "vit_large"}, 8),
}
TINY = {"encoder": "vit_tiny", "depth": 1, "image_size": 64, "patch_size": 16, "predictor_depth": 1,
        "predictor_dim": 96, "min_keep": 2}  # fmt: skip


def synchronize(device: str) -> None:
    """Waits until the device is idle."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_of(step: Step, device: str, repeats: int, warm_up: int = 3) -> float:
    """Median seconds of a step."""
    found = []
    for _ in range(warm_up + repeats):
        synchronize(device)
        start = time.perf_counter()
        step()
        synchronize(device)
        found.append(time.perf_counter() - start)
    return statistics.median(found[warm_up:])


def gemm_rate(device: str, side: int) -> float:
    """Operations a second of a square matrix product in bfloat16: what the device gives at best here."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * side**3 / seconds_of(lambda: a @ b, device, 10)


def batch_of(module: LatentPrediction, size: int, device: str) -> Batch:
    """Noise, with masks."""
    pipeline, shape = module.pipeline(), tuple(module.context_encoder.input_size)
    media = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    media = media.transpose(0, 1) if media.ndim == 4 else media
    batch: Batch = move_data_to_device(pipeline.collate([pipeline.eval_transform(media)] * size), device)
    return batch


def optimizer_of(module: LatentPrediction, device: str) -> torch.optim.Optimizer:
    """AdamW over what is trained."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return torch.optim.AdamW(trained, lr=1e-4, fused=device == "cuda")


def stepper(module: LatentPrediction, device: str, loss_of: Callable[[], torch.Tensor]) -> Step:
    """Loss, backward pass, optimizer and EMA in bfloat16."""
    optimizer, pairs = optimizer_of(module, device), [EMAPair(*pair) for pair in module.ema_pairs()]

    def step() -> None:
        with torch.autocast(device, torch.bfloat16):
            loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for pair in pairs:
            pair.update_(0.996)

    return step


def plain_loss(module: LatentPrediction, batch: Batch) -> torch.Tensor:
    """The loss as one writes it on the same networks without this package's objective."""
    view, losses = batch.views[0], []
    with torch.no_grad():
        tokens = module.target_encoder(view)
        tokens = F.layer_norm(tokens, tokens.shape[-1:])
    for kind, masks in enumerate(batch.masks):
        context = module.context_encoder(view, keep=masks.context)
        predicted = module.predictor(context, masks.context, masks.target, mask_index=kind)
        losses.append(F.smooth_l1_loss(predicted, blocks_of(tokens, masks)))
    return torch.stack(losses).mean()


def flops_of(module: LatentPrediction, batch: Batch, device: str) -> int:
    """Operations of the forward and the backward pass, counted."""
    with FlopCounterMode(display=False) as counter, torch.autocast(device, torch.bfloat16):
        module.objective(batch, 0.0).loss.backward()
    module.zero_grad()
    return int(counter.get_total_flops())


def measure(name: str, compiled: bool, rate: float, options: argparse.Namespace) -> Row:
    """One size: the plain loop and the objective, or the objective with compiled blocks."""
    cls, given, size = SIZES[name]
    size, repeats = (2, 1) if options.tiny else (size, 8)
    torch.manual_seed(0)
    frames = {"num_frames": 4} if cls is VJEPA else {}
    module = (cls(**TINY, **frames) if options.tiny else cls(**given)).to(options.device)
    batch = batch_of(module, size, options.device)
    flops = flops_of(module, batch, options.device)
    if compiled:
        torch.compiler.reset()
        compile_blocks(module)
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    losses: dict[str, Callable[[], Any]] = {} if compiled else {"plain": lambda: plain_loss(module, batch)}
    losses["objective"] = lambda: module.objective(batch, 0.0).loss
    row: Row = {"batch": size, "flops": flops}
    for variant, loss_of in losses.items():
        seconds = seconds_of(stepper(module, options.device, loss_of), options.device, repeats)
        row |= {f"{variant} samples/s": size / seconds, f"{variant} share of peak": flops / seconds / rate}
    if not compiled:
        row["objective over plain"] = row["plain samples/s"] / row["objective samples/s"]
    if options.device == "cuda":
        row["peak memory, GB"] = torch.cuda.max_memory_allocated() / 1e9
    return row


def check(part: Part, options: argparse.Namespace) -> None:
    """Measures all sizes, those that compile last.

    Args:
        part: takes the findings.
        options: ``device``, ``tiny`` and ``eager``.
    """
    side = 256 if options.tiny else 8192
    product = part.run("product", lambda: {"side": side, "operations/s": gemm_rate(options.device, side)})
    for compiled in (False,) if options.eager else (False, True):
        for name in SIZES:
            least = 0 if options.tiny else (40 if compiled else 8)
            title = f"{name}, compiled" if compiled else name
            part.run(title, lambda n=name, c=compiled: measure(n, c, product["operations/s"], options), least)
            if options.device == "cuda":
                torch.cuda.empty_cache()
