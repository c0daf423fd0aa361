# S M samples, D width, K columns of a label
"""A least-squares probe, fitted to features that no longer change."""

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from jepa_lightning.probing.label_kinds import ClassLabel, LabelKind, ValueLabel, in_form
from jepa_lightning.probing.labels import Labels, kinds_of, score
from jepa_lightning.probing.scores import metric_name

ALPHAS = np.logspace(-2, 6, 17)


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

    Example:
        >>> import torch
        >>> from jepa_lightning.probing.linear import linear_probe
        >>> features = torch.randn(60, 8)
        >>> labels = {"sign": (features[:, 0] > 0).long(), "size": features[:, 1]}
        >>> sorted(linear_probe(features[:40], {name: each[:40] for name, each in labels.items()},
        ...                     features[40:], {name: each[40:] for name, each in labels.items()}))
        ['sign', 'size_r2']
    """
    scaler = StandardScaler().fit(features.numpy())
    train, val = scaler.transform(features.numpy()), scaler.transform(val_features.numpy())
    kinds = kinds_of(labels, val_labels)
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
            found |= score(name, kinds[name], part, val_labels[name])
    return {key: found[key] for name in labels for key in (metric_name(name, kinds[name].suffix),)}


def _columns(kind: LabelKind, target: Tensor) -> Tensor:
    """What least squares fits, float ``[S, size]``."""
    if isinstance(kind, ClassLabel):
        return torch.eq(target[:, None], torch.unique(target)).float()  # classes that no sample has are never chosen
    return in_form(kind, target).double()
