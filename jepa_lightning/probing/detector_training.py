# S samples, N tokens, D width, B batch, n boxes, h w of the grid, H W height and width of a view
"""Training of a detector on frozen tokens, and what it finds."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from jepa_lightning.nn.token_maps import as_maps
from jepa_lightning.probing.detector import Boxes, Detector

WARMUP = 0.05  # of the steps
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class DetectorRecipe:
    """How a detector is built and trained.

    Attributes:
        variants: learning rate and weight decay of AdamW of each training; rates rise over the first steps, and fall to
            0 along a cosine.
        epochs: passes over the samples,
        steps: or as many steps, if these are fewer.
        channels: of ``Detector``, and so are the next three.
        hidden: of ``Detector``.
        regions: of ``Detector``.
        proposals: of ``Detector``.
        batch_size: of a step.
    """

    variants: tuple[tuple[float, float], ...]
    epochs: int
    steps: int | None = None
    channels: int = 256
    hidden: int = 1024
    regions: int = 512
    proposals: int = 1000
    batch_size: int = 16


def fit_detector(
    tokens: Array,
    targets: Sequence[Boxes],
    rows: Tensor,
    classes: int,
    grid: Sequence[int],
    size: Sequence[int],
    recipe: DetectorRecipe,
    variant: tuple[float, float],
    seed: int,
    device: torch.device,
) -> Detector:
    """Trains a detector.

    Args:
        tokens: ``[S, N, D]``, read from the disk as they are used.
        targets: of each of the S samples, as in ``Detector``.
        rows: samples to fit on.
        classes: number of classes.
        grid: h and w.
        size: H and W.
        recipe: of the training.
        variant: learning rate and weight decay.
        seed: of the weights, the order, and the draws of regions.
        device: where to train.
    """
    with isolate_rng():
        torch.manual_seed(seed)
        detector = Detector(
            tokens.shape[2], classes, recipe.channels, recipe.hidden, recipe.regions, recipe.proposals
        ).to(device)
        order = torch.cat([torch.randperm(len(rows)) for _ in range(recipe.epochs)])
        steps = torch.split(order, recipe.batch_size)[: recipe.steps]
        optimizer = torch.optim.AdamW(detector.parameters(), lr=variant[0], weight_decay=variant[1])
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: share_of_rate(step, len(steps)))
        for places in steps:
            chosen = rows[places]
            given = [{name: each.to(device) for name, each in targets[i].items()} for i in chosen.tolist()]
            losses = detector(_maps(tokens, chosen, grid, device), size, given)
            optimizer.zero_grad()
            torch.autograd.backward(sum(losses.values()))
            optimizer.step()
            schedule.step()
    return detector.eval()


@torch.no_grad()
def detections(
    detector: Detector, tokens: Array, rows: Tensor, grid: Sequence[int], size: Sequence[int], device: torch.device
) -> Iterator[Boxes]:
    """What a detector finds in some samples, one after the other.

    Args:
        detector: that has been trained.
        tokens: as in ``fit_detector``.
        rows: which samples.
        grid: h and w.
        size: H and W.
        device: of the detector.
    """
    for part in torch.split(rows, 16):
        for found in detector(_maps(tokens, part, grid, device), size):
            yield {name: each.cpu() for name, each in found.items()}


def _maps(tokens: Array, rows: Tensor, grid: Sequence[int], device: torch.device) -> Tensor:
    return as_maps(torch.from_numpy(np.asarray(tokens[rows.numpy()], np.float32)).to(device), grid)


def share_of_rate(step: int, steps: int) -> float:
    """The learning rate of a step, as a share of the highest."""
    return min((step + 1) / max(1, WARMUP * steps), 0.5 + 0.5 * math.cos(math.pi * step / steps))
