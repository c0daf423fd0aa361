# S M samples, N tokens, D width
"""Probes fitted from scratch on features that no longer change."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.callbacks.attentive_heads import AttentiveHeads, heads_for

ALPHAS = np.logspace(-2, 6, 17)

Labels = Mapping[str, Tensor]  # [S] each


def linear_probe(features: Tensor, labels: Labels, val_features: Tensor, val_labels: Labels) -> dict[str, float]:
    """Accuracy of a least-squares classifier for each label, all fitted in one closed form.

    Features are standardised, and the regularisation is the one with the least leave-one-out error, so that no kind of
    features is favoured.

    Args:
        features: ``[S, D]`` to fit on.
        labels: ``[S]`` each.
        val_features: ``[M, D]`` to score.
        val_labels: ``[M]`` each.
    """
    scaler = StandardScaler().fit(features.numpy())
    columns: dict[str, NDArray[np.int64]] = {name: column.numpy() for name, column in labels.items()}
    classes = {name: np.unique(column) for name, column in columns.items()}
    one_hot = np.hstack([columns[name][:, None] == classes[name] for name in classes]).astype(np.float32)
    probe = RidgeCV(ALPHAS).fit(scaler.transform(features.numpy()), one_hot)
    scores = probe.predict(scaler.transform(val_features.numpy())).reshape(len(val_features), -1)
    ends = np.cumsum([len(values) for values in classes.values()])
    return {
        name: float((values[part.argmax(axis=1)] == val_labels[name].numpy()).mean())
        for (name, values), part in zip(classes.items(), np.split(scores, ends[:-1], axis=1), strict=True)
    }


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
    """Accuracy of an attentive pooler with a linear classifier, trained by AdamW along a cosine, for each label.

    Labels are fitted one by one, as in the papers: a pooler that they shared would learn from one of them where to look
    for another. Its weights and the order of the samples are the same in each call and for each label.

    Args:
        tokens: ``[S, N, D]`` to fit on.
        labels: ``[S]`` each.
        val_tokens: ``[M, N, D]`` to score.
        val_labels: ``[M]`` each.
        epochs: passes over the samples.
        lr: of the first step.
        batch_size: of a step.
        device: where to train.
    """
    found = {}
    for name, column in labels.items():
        classes = int(max(column.max(), val_labels[name].max())) + 1
        heads = _fit_pooler(tokens, column, classes, epochs, lr, batch_size, device)
        with torch.no_grad():
            scores = [heads(part.to(device).float())[0][0].cpu() for part in torch.split(val_tokens, batch_size)]
        found[name] = float((torch.cat(scores).argmax(dim=1) == val_labels[name]).float().mean())
    return found


def _fit_pooler(
    tokens: Tensor, label: Tensor, classes: int, epochs: int, lr: float, batch_size: int, device: torch.device | str
) -> AttentiveHeads:
    width = tokens.shape[2]
    with isolate_rng():
        torch.manual_seed(0)
        heads = AttentiveHeads(width, [classes], 1, 1, heads_for(width), 2).to(device)
        order = torch.cat([torch.randperm(len(tokens)) for _ in range(epochs)])
    steps = torch.split(order, batch_size)
    optimizer = torch.optim.AdamW(heads.parameter_groups([lr], 0.01))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.5 + 0.5 * math.cos(math.pi * i / len(steps)))
    for batch in steps:
        logits = heads(tokens[batch].to(device).float())[0][0]
        loss = F.cross_entropy(logits, label[batch].to(device))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
    return heads.eval()
