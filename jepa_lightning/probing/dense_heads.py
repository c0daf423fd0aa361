# S samples, B batch, N tokens, D width, T frames, t h w of the grid, H W of the labels, C outputs, V variants
"""Linear classifiers and regressions of places: a batch norm and a linear layer for each token."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.nn.token_maps import as_maps

IGNORED = 255  # a pixel without a class
SCALED = 1000  # samples that the scale of values is taken from
Array = np.ndarray[Any, Any]


class DenseHeads(nn.Module):
    """Variants of a linear layer for each token, on features that a norm without weights brings to one scale.

    Source: V-JEPA 2.1's frozen segmentation and depth.

    Args:
        width: D.
        outputs: C.
        variants: how many.
    """

    def __init__(self, width: int, outputs: int, variants: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, eps=1e-6, affine=False)
        # of values, of which outputs are in units of their deviation
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))
        self.heads = nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in range(variants))
        for head in self.heads:
            nn.init.zeros_(cast(Tensor, head.weight))
            nn.init.zeros_(cast(Tensor, head.bias))

    def forward(self, maps: Tensor, size: Sequence[int]) -> list[Tensor]:
        """Maps ``[B, D, h, w]`` to outputs ``[B, C, H, W]`` of each variant, interpolated to a size of H and W."""
        normed = self.norm(maps)
        found = [F.interpolate(head(normed), tuple(size), mode="bilinear") for head in self.heads]
        return [each * self.std + self.mean for each in found]


def dense_loss(outputs: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of pixels for ``[B, H, W]`` of classes, 255 for none; mean absolute error for one of floats.

    Args:
        outputs: ``[B, C, H, W]``; C is 1 for floats.
        target: NaN, or 255, where a pixel has none.
    """
    if target.is_floating_point():
        known = ~target.isnan()
        each = (outputs[:, 0] - target.where(known, 0)).abs() * known
        return each.sum() / known.sum().clamp(min=1)
    known = target != IGNORED
    total = F.cross_entropy(outputs, target.long().where(known, -1), ignore_index=-1, reduction="sum")
    return total / known.sum().clamp(min=1)


@dataclass(frozen=True)
class DenseRecipe:
    """How dense heads are trained, all of them at once.

    Attributes:
        variants: learning rate and weight decay of AdamW of each; rates fall to 0 along a cosine.
        epochs: passes over the samples.
        batch_size: of a step: images, or frames of clips.
    """

    variants: tuple[tuple[float, float], ...]
    epochs: int
    batch_size: int = 16


def fit_dense(
    tokens: Array,
    target: Array,
    rows: Tensor,
    outputs: int,
    grid: Sequence[int],
    recipe: DenseRecipe,
    variants: Sequence[tuple[float, float]],
    seed: int,
    device: torch.device,
) -> DenseHeads:
    """Trains heads that start alike and see the same batches.

    Args:
        tokens: ``[S, N, D]``, read from the disk as they are used.
        target: ``[S, H, W]`` of classes or floats, or ``[S, T, H, W]`` of clips.
        rows: samples to fit on.
        outputs: C.
        grid: h and w, before them t of clips.
        recipe: of the training.
        variants: learning rate and weight decay of each head.
        seed: of the order.
        device: where to train.
    """
    with isolate_rng():
        torch.manual_seed(seed)
        heads = DenseHeads(tokens.shape[2], outputs, len(variants)).to(device)
        order = torch.cat([torch.randperm(len(rows)) for _ in range(recipe.epochs)])
    if np.issubdtype(target.dtype, np.floating):
        some = torch.from_numpy(np.array(target[rows[:SCALED].numpy()]))
        known = some[~some.isnan()]
        heads.mean.fill_(known.mean())
        heads.std.fill_(known.std().clamp(min=1e-6))
    optimizer = torch.optim.AdamW(
        [
            {"params": list(head.parameters()), "lr": lr, "weight_decay": decay}
            for head, (lr, decay) in zip(heads.heads, variants, strict=True)
        ]
    )
    steps = torch.split(order, _clips(recipe.batch_size, target))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.5 + 0.5 * math.cos(math.pi * i / len(steps)))
    for places in steps:
        maps, truth = _read(tokens, target, rows[places], grid, device)
        loss = torch.stack([dense_loss(each, truth) for each in heads(maps, truth.shape[1:])]).sum() / heads.std
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return heads.eval()


@torch.no_grad()
def dense_outputs(
    heads: DenseHeads, tokens: Array, target: Array, rows: Tensor, grid: Sequence[int], device: torch.device
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Outputs ``[B, C, H, W]`` of each variant for some samples, and their labels ``[B, H, W]``, in parts.

    The B of clips are their frames.

    Args:
        heads: that have been trained.
        tokens: as in ``fit_dense``.
        target: as in ``fit_dense``.
        rows: which samples.
        grid: as in ``fit_dense``.
        device: of the heads.
    """
    for part in torch.split(rows, _clips(16, target)):
        maps, truth = _read(tokens, target, part, grid, device)
        yield heads(maps, truth.shape[1:]), truth


def _read(
    tokens: Array, target: Array, rows: Tensor, grid: Sequence[int], device: torch.device
) -> tuple[Tensor, Tensor]:
    places = rows.numpy()
    maps = as_maps(torch.from_numpy(np.asarray(tokens[places], np.float32)).to(device), grid)
    truth = torch.from_numpy(np.array(target[places])).to(device)
    if len(grid) == 2:
        return maps, truth
    # all frames of a tubelet have its tokens
    each = maps.movedim(2, 1).repeat_interleave(truth.shape[1] // grid[0], dim=1)  # [B, T, D, h, w]
    return each.flatten(0, 1), truth.flatten(0, 1)


def _clips(images: int, target: Array) -> int:
    """How many samples have as many images as this, but one at least."""
    return max(1, images // target.shape[1]) if target.ndim == 4 else images
