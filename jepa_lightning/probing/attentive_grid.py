# S samples, N tokens, D width, V variants, K numbers of a label
"""Attentive poolers with a classifier, trained at once with several learning rates and weight decays."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from jepa_lightning.probing.attentive_heads import AttentiveHeads, heads_for
from jepa_lightning.probing.label_kinds import LabelKind, ValueLabel
from jepa_lightning.probing.target_scale import TargetScale

Tokens = np.ndarray[Any, Any]


@dataclass(frozen=True)
class AttentiveRecipe:
    """How such probes are trained.

    Attributes:
        lrs: of AdamW, which fall to 0 along a cosine.
        weight_decays: of AdamW; each goes with each learning rate. Biases and norms have none.
        depth: blocks, of which one is the cross-attention.
        epochs: passes over the samples.
        batch_size: of a step.
        normalize: bring each channel of the tokens to mean 0 and variance 1 first.
    """

    lrs: tuple[float, ...]
    weight_decays: tuple[float, ...]
    depth: int
    epochs: int
    batch_size: int = 64
    normalize: bool = True

    @property
    def variants(self) -> list[tuple[float, float]]:
        """Learning rate and weight decay of each."""
        return list(product(self.lrs, self.weight_decays))


class FittedHeads:
    """Heads that have been trained.

    Args:
        heads: V of them.
        scale: of values; None for other labels.
        device: of the heads.
    """

    def __init__(self, heads: AttentiveHeads, scale: TargetScale | None, device: torch.device) -> None:
        self.heads, self.scale, self.device = heads.eval(), scale, device

    @torch.no_grad()
    def outputs(self, tokens: Tokens, rows: Tensor, batch_size: int = 64) -> Iterator[tuple[Tensor, list[Tensor]]]:
        """Outputs of some samples: their rows, and ``[B, K]`` of each variant, on the CPU.

        Args:
            tokens: ``[S, N, D]``.
            rows: which of them.
            batch_size: samples at a time.
        """
        for part in torch.split(rows, batch_size):
            found = [each[0] for each in self.heads(_read(tokens, part, self.device))]
            yield part, [(each if self.scale is None else self.scale.restore(each)).float().cpu() for each in found]


def fit_attentive(
    tokens: Tokens,
    rows: Tensor,
    target: Tensor,
    kind: LabelKind,
    recipe: AttentiveRecipe,
    variants: Sequence[tuple[float, float]],
    seed: int,
    device: torch.device,
) -> FittedHeads:
    """Trains heads that start alike and see the same batches. Source: V-JEPA 2 (arXiv 2506.09985), appendix.

    Args:
        tokens: ``[S, N, D]``, read from the disk as they are used.
        rows: which of them to fit on.
        target: labels of these.
        kind: of the label.
        recipe: of the training.
        variants: learning rate and weight decay of each head.
        seed: of the weights and of the order.
        device: where to train.
    """
    scale = None
    if isinstance(kind, ValueLabel):
        scale = TargetScale(kind.size, target.device)
        scale.add(target, kind.labeled(target))
        target = scale.standardize(target)
    width = tokens.shape[2]
    with isolate_rng():
        torch.manual_seed(seed)
        heads = AttentiveHeads(
            width, [kind.size], len(variants), recipe.depth, heads_for(width), 2, recipe.normalize
        ).to(device)
        order = torch.cat([torch.randperm(len(rows)) for _ in range(recipe.epochs)])
    groups = [group for number, (lr, decay) in enumerate(variants) for group in _groups(heads, number, lr, decay)]
    optimizer = torch.optim.AdamW(groups)
    steps = torch.split(order, recipe.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.5 + 0.5 * math.cos(math.pi * i / len(steps)))
    for places in steps:
        outputs = heads(_read(tokens, rows[places], device))
        loss = torch.stack([kind.loss(each[0], target[places].to(device)) for each in outputs]).sum() / len(places)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return FittedHeads(heads, scale, device)


def _groups(heads: AttentiveHeads, number: int, lr: float, decay: float) -> list[dict[str, Any]]:
    parameters = list(heads.variants[number].parameters())
    return [
        {
            "params": [p for p in parameters if (p.ndim > 1) == decays],
            "lr": lr,
            "weight_decay": decay if decays else 0.0,
        }
        for decays in (True, False)
    ]


def _read(tokens: Tokens, rows: Tensor, device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(tokens[rows.numpy()], np.float32)).to(device)
