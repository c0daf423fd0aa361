"""Every method for some steps in each precision, compiled, and under FSDP2, against the losses of a CPU."""

import argparse
import math
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch
from gpu_part import Part, Row
from lightning.pytorch import Callback, Trainer
from torch.utils.data import DataLoader

from jepa_lightning import IJEPA, VJEPA, JEPAModule, WorldModel
from jepa_lightning.data import JEPADataModule, PhysicsVideoDataModule, ShapesDataModule, TwoRoomsDataModule
from jepa_lightning.types import Batch

sys.path.append(str(Path(__file__).parents[1]))
from small_methods import OPTIONS, build_method

SMALL = {"encoder": "vit_tiny", "depth": 2, "lr": 1e-3, "image_size": 48, "patch_size": 8, "predictor_depth": 2,
         "predictor_dim": 96}  # fmt: skip
OTHERS: dict[str, tuple[type[JEPAModule], Row]] = {
    "IJEPA, shared predictor": (IJEPA, {**SMALL, "predictor_attention": "shared"}),
    "VJEPA": (VJEPA, {**SMALL, "num_frames": 8, "frame_step": 1, "rope": True}),
    "WorldModel": (
        WorldModel,
        {
            "encoder": {
                "class_path": "jepa_lightning.nn.ImpalaEncoder",
                "init_args": {"image_size": [65, 65], "in_channels": 2, "width": 64, "channels": [8, 16, 16]},
            },
            "predictor": "gru", "action_size": 2, "num_frames": 5, "rollout_steps": 4, "lr": 1e-3,
        },
    ),
}  # fmt: skip
# options of the Trainer; variants that compile come last, since each takes a while
VARIANTS: dict[str, tuple[Row, bool]] = {
    "fp32": ({}, False),
    "bf16": ({"precision": "bf16-mixed"}, False),
    "fsdp2": ({"strategy": "fsdp2"}, False),
    "fp32 compiled": ({}, True),
    "bf16 compiled": ({"precision": "bf16-mixed"}, True),
}
# largest relative difference of the first and of the last loss; a run that differs by rounding drifts away
TOLERANCE = {"fp32": (1e-3, 0.05), "bf16": (0.03, 0.1), "fsdp2": (1e-3, 0.05)}
# these draw random numbers on the device within a step, where a GPU has other ones
DRAWS = ("LeJEPA",)
WITHOUT_BLOCKS = ("WorldModel",)  # nothing to compile


class Losses(Callback):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.values: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Keeps a tensor: reading it would make the host wait."""
        self.values.append(outputs["loss"].detach())


def build(name: str, compiled: bool) -> JEPAModule:
    """The module, with the same weights on every device."""
    torch.manual_seed(0)
    if name in OTHERS:
        cls, options = OTHERS[name]
        return cls(**options, compile=compiled)
    return build_method(name, 48, 8, compile=compiled)


@cache
def batches(name: str, number: int) -> list[Batch]:
    """The same batches in every run of a method."""
    module = build(name, compiled=False)
    shared = {"num_train": 16 * number, "num_val": 16, "batch_size": 16, "num_workers": 0,
              "pipeline": module.pipeline()}  # fmt: skip
    data: JEPADataModule
    if name == "WorldModel":
        data = TwoRoomsDataModule(num_frames=5, **shared)
    else:
        data = PhysicsVideoDataModule(num_frames=8, **shared) if name == "VJEPA" else ShapesDataModule(**shared)
    data.setup()
    torch.manual_seed(0)
    return list(data.train_dataloader())


def losses(name: str, accelerator: str, steps: int, trainer: Row, compiled: bool) -> list[float]:
    """Losses of the steps of one run."""
    torch.compiler.reset()  # the graphs of other runs count towards the limit of torch.compile
    module, kept = build(name, compiled), Losses()
    given = batches(name, steps)
    torch.manual_seed(0)
    Trainer(
        max_steps=steps, accelerator=accelerator, devices=1, callbacks=[kept], logger=False, barebones=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **trainer,
    ).fit(module, DataLoader(given, batch_size=None, collate_fn=lambda batch: batch))  # fmt: skip
    return [float(value) for value in kept.values]


def compare(found: list[float], expected: list[float], variant: str, draws: bool) -> Row:
    """How far the losses of a run are from those of the CPU, and whether that is by rounding."""
    apart = [abs(a - b) / max(abs(b), 1e-6) for a, b in zip(found, expected, strict=True)]
    first, last = TOLERANCE[variant.removesuffix(" compiled")]
    finite = all(math.isfinite(value) for value in found)
    return {
        "first": found[0], "last": found[-1], "first apart": apart[0], "last apart": apart[-1],
        "agrees": finite and (draws or (apart[0] <= first and apart[-1] <= last)),
    }  # fmt: skip


def check(part: Part, options: argparse.Namespace) -> None:
    """Runs all variants of all methods, those without compilation first.

    Args:
        part: takes the findings.
        options: ``device``, ``tiny``, ``eager`` and ``methods``.
    """
    torch.backends.cudnn.allow_tf32 = False  # or the patch embedding has 10 bits
    steps = 2 if options.tiny else 20
    names = [name for name in (*OPTIONS, *OTHERS) if not options.methods or name in options.methods]
    expected: dict[str, list[float]] = {}

    def on_cpu(name: str) -> Row:
        expected[name] = losses(name, "cpu", steps, {}, False)
        return {"first": expected[name][0], "last": expected[name][-1]}

    def on_device(name: str, variant: str) -> Row:
        trainer, compiled = VARIANTS[variant]
        found = losses(name, options.device, steps, trainer, compiled)
        return compare(found, expected[name], variant, name in DRAWS)

    for name in names:
        part.run(f"{name}, CPU", lambda name=name: on_cpu(name))
    for variant, (_, compiled) in VARIANTS.items():
        for name in names:
            if name in expected and not (compiled and (options.eager or name in WITHOUT_BLOCKS)):
                part.run(f"{name}, {variant}", lambda name=name, v=variant: on_device(name, v), least=compiled * 15)
