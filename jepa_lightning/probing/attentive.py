# S M samples, N tokens, D width
"""An attentive pooler with a classifier, trained on tokens that no longer change."""

import math

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor

from jepa_lightning.probing.attentive_heads import AttentiveHeads, heads_for
from jepa_lightning.probing.label_kinds import LabelKind, ValueLabel, in_form
from jepa_lightning.probing.labels import Labels, kinds_of, score
from jepa_lightning.probing.target_scale import TargetScale


def attentive_probe(
    tokens: Tensor,
    labels: Labels,
    val_tokens: Tensor,
    val_labels: Labels,
    epochs: int,
    lr: float = 3e-3,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Scores an attentive pooler with a linear classifier, trained by AdamW along a cosine, for each label.

    Labels are fitted one by one, as in the papers: a pooler that they shared would learn from one of them where to look
    for another. Its weights and the order of the samples are the same in each call and for each label.

    Args:
        tokens: ``[S, N, D]`` to fit on.
        labels: as in ``linear_probe``.
        val_tokens: ``[M, N, D]`` to score.
        val_labels: as in ``linear_probe``.
        epochs: passes over the samples.
        lr: of the first step.
        batch_size: of a step.
        device: where to train.

    Returns:
        As in ``linear_probe``.

    Example:
        >>> import torch
        >>> from jepa_lightning.probing.attentive import attentive_probe
        >>> tokens, labels = torch.randn(24, 4, 16), torch.arange(24) % 2
        >>> list(attentive_probe(tokens, {"class": labels}, tokens, {"class": labels}, epochs=1))
        ['class']
    """
    found: dict[str, float] = {}
    for name, kind in kinds_of(labels, val_labels).items():
        target, scale = in_form(kind, labels[name]), None
        if isinstance(kind, ValueLabel):
            scale = TargetScale(kind.size, target.device)
            scale.add(target, kind.labeled(target))
            target = scale.standardize(target)
        heads = _fit_pooler(tokens, kind, target, epochs, lr, batch_size, device)
        with torch.no_grad():
            parts = [heads(part.to(device).float())[0][0].cpu() for part in torch.split(val_tokens, batch_size)]
        outputs = torch.cat(parts) if scale is None else scale.restore(torch.cat(parts))
        found |= score(name, kind, outputs, val_labels[name])
    return found


def _fit_pooler(
    tokens: Tensor,
    kind: LabelKind,
    target: Tensor,
    epochs: int,
    lr: float,
    batch_size: int,
    device: torch.device | str,
) -> AttentiveHeads:
    width = tokens.shape[2]
    with isolate_rng():
        torch.manual_seed(0)
        heads = AttentiveHeads(width, [kind.size], 1, 1, heads_for(width), 2).to(device)
        order = torch.cat([torch.randperm(len(tokens)) for _ in range(epochs)])
    steps = torch.split(order, batch_size)
    optimizer = torch.optim.AdamW(heads.parameter_groups([lr], 0.01))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.5 + 0.5 * math.cos(math.pi * i / len(steps)))
    for batch in steps:
        outputs = heads(tokens[batch].to(device).float())[0][0]
        loss = kind.loss(outputs, target[batch].to(device)) / len(batch)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return heads.eval()
