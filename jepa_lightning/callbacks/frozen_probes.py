# S M samples, N tokens, D width, K columns of a label
"""Probes fitted from scratch on features that no longer change."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from jepa_lightning.callbacks.attentive_heads import AttentiveHeads, heads_for
from jepa_lightning.callbacks.label_kinds import ClassLabel, LabelKind, ValueLabel, form_of, in_form
from jepa_lightning.callbacks.probe_scores import ProbeScores, metric_name
from jepa_lightning.callbacks.target_scale import TargetScale

ALPHAS = np.logspace(-2, 6, 17)

Labels = Mapping[str, Tensor]


def linear_probe(features: Tensor, labels: Labels, val_features: Tensor, val_labels: Labels) -> dict[str, float]:
    """Scores a least-squares probe for each label; those of one kind are fitted in one closed form.

    Features are standardized, and the regularization is the one with the least leave-one-out error, so that no kind of
    features is favored.

    Args:
        features: ``[S, D]`` to fit on.
        labels: ``[S]`` or ``[S, K]`` each, of a kind that ``OnlineProbe`` knows; every sample has all of them.
        val_features: ``[M, D]`` to score.
        val_labels: ``[M]`` or ``[M, K]`` each.

    Returns:
        Accuracy of classes by ``LABEL``, R2 of values by ``LABEL_r2``, mAP of multi-hot labels by ``LABEL_map``; the
        name of a metric alone where ``LABEL`` is empty.
    """
    scaler = StandardScaler().fit(features.numpy())
    train, val = scaler.transform(features.numpy()), scaler.transform(val_features.numpy())
    kinds = _kinds(labels, val_labels)
    found: dict[str, float] = {}
    for kind in {type(each): None for each in kinds.values()}:
        names = [name for name in labels if type(kinds[name]) is kind]
        columns = [_columns(kinds[name], labels[name]).numpy() for name in names]
        # values may be of any size
        scale = StandardScaler(with_mean=kind is ValueLabel, with_std=kind is ValueLabel)
        probe = RidgeCV(ALPHAS).fit(train, scale.fit_transform(np.hstack(columns)).astype(np.float32))
        outputs = torch.from_numpy(scale.inverse_transform(probe.predict(val).reshape(len(val), -1)))
        parts = torch.split(outputs, [column.shape[1] for column in columns], dim=1)
        for name, part in zip(names, parts, strict=True):
            if kind is ClassLabel:
                seen = torch.unique(labels[name])
                part = part.new_full((len(val), kinds[name].size), -torch.inf).index_copy(1, seen, part)
            found |= _score(name, kinds[name], part, val_labels[name])
    return {key: found[key] for name in labels for key in (metric_name(name, kinds[name].suffix),)}


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
    """
    found: dict[str, float] = {}
    for name, kind in _kinds(labels, val_labels).items():
        target, scale = in_form(kind, labels[name]), None
        if isinstance(kind, ValueLabel):
            scale = TargetScale(kind.size, target.device)
            scale.add(target, kind.labeled(target))
            target = scale.standardize(target)
        heads = _fit_pooler(tokens, kind, target, epochs, lr, batch_size, device)
        with torch.no_grad():
            parts = [heads(part.to(device).float())[0][0].cpu() for part in torch.split(val_tokens, batch_size)]
        outputs = torch.cat(parts) if scale is None else scale.restore(torch.cat(parts))
        found |= _score(name, kind, outputs, val_labels[name])
    return found


def _kinds(labels: Labels, val_labels: Labels) -> dict[str, LabelKind]:
    """Kind of each label; the number of classes is what is there."""
    kinds: dict[str, LabelKind] = {}
    for name, target in labels.items():
        kind, columns = form_of(target) or (ClassLabel, 0)
        kinds[name] = kind(int(max(target.max(), val_labels[name].max())) + 1 if kind is ClassLabel else columns)
    return kinds


def _columns(kind: LabelKind, target: Tensor) -> Tensor:
    """What least squares fits, float ``[S, size]``."""
    if isinstance(kind, ClassLabel):
        return torch.eq(target[:, None], torch.unique(target)).float()  # classes that no sample has are never chosen
    return in_form(kind, target).double()


def _score(name: str, kind: LabelKind, outputs: Tensor, target: Tensor) -> dict[str, float]:
    scores = ProbeScores({name: kind}, ("",), outputs.device)
    scores.update({"": {name: outputs}}, {name: in_form(kind, target)})
    figures = {figure.name: figure.value for figure in scores.figures("", scores.counts)}
    key = metric_name(kind.suffix)
    return {metric_name(name, kind.suffix): figures[key]} if key in figures else {}


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
