# S samples, N tokens, D width, B batch, C channels, T frames, H W height and width
"""Samples of a report: pixels or features of those samples of a loader that have all labels."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from jepa_lightning.callbacks.probes.draws import drawn
from jepa_lightning.callbacks.probes.labels import ProbeLabels
from jepa_lightning.callbacks.probes.loaders import on_device
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.features import as_pixels
from jepa_lightning.types import Labels


class Samples(NamedTuple):
    """Pooled features ``[S, D]``, tokens ``[S, N, D]`` if asked for, and labels ``[S]`` or ``[S, K]`` by name."""

    features: Tensor
    tokens: Tensor | None
    labels: dict[str, Tensor]

    def first(self, size: int) -> "Samples":
        """The first of them."""
        tokens = None if self.tokens is None else self.tokens[:size]
        return Samples(self.features[:size], tokens, {name: column[:size] for name, column in self.labels.items()})


@dataclass
class SampleReader:
    """Reads samples from loaders.

    Args:
        trainer: knows devices and precision.
        module: what encodes.
        source: where features, images and labels are.
        labels: reads labels.
        pixels: take pixels in place of features.
        attends: take tokens too.
    """

    trainer: Trainer
    module: LightningModule
    source: Source
    labels: ProbeLabels
    pixels: bool
    attends: bool

    def read(self, loader: Iterable[Any], size: int) -> Samples | None:
        """A draw of samples that have all labels, on the CPU.

        Args:
            loader: of any kind.
            size: samples to draw, with or without labels.

        Returns:
            The samples; None where none has labels.
        """
        parts: list[Samples] = []
        seen = 0
        for batch in drawn(self.source.owner, loader, size):
            given = self._part(batch, size - seen)
            seen += len(self.source.views(self.module, batch)[0])
            if given is not None:
                parts.append(given)
            if seen >= size:
                break
        if not any(len(part.features) for part in parts):
            return None
        with_tokens = [part.tokens for part in parts if part.tokens is not None]
        return Samples(
            torch.cat([part.features for part in parts]),
            torch.cat(with_tokens) if with_tokens else None,
            {name: torch.cat([part.labels[name] for part in parts]) for name in parts[0].labels},
        )

    def _part(self, batch: Any, size: int) -> Samples | None:
        labels = self.labels.read(_named(self.source.labels_of(self.module, batch)))
        if not labels:
            return None
        each = [kind.labeled(labels[name]) for name, kind in self.labels.kinds.items()]
        known = torch.stack(each).all(dim=0)
        features, tokens = self._encode(batch)
        known_labels = {name: column[known] for name, column in labels.items()}
        return Samples(features[known], None if tokens is None else tokens[known], known_labels).first(size)

    def _encode(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        """Features ``[B, D]``, and tokens ``[B, N, D]`` if there is to be an attentive probe."""
        if self.pixels:
            return as_pixels(self.source.views(self.module, batch)[0].cpu()), None
        moved, views = on_device(self.trainer, self.module, self.source, batch)
        options: dict[str, Any] = {"shared": False, "pool": not self.attends}
        encoded = self.source.encode(self.trainer, self.module, moved, views, **options)
        if not self.attends:
            return encoded.float().cpu(), None
        return encoded.float().mean(dim=1).cpu(), encoded.bfloat16().cpu()


def _named(labels: Labels | None) -> Labels | None:
    """A single label has no name."""
    return next(iter(labels.values())) if isinstance(labels, dict) and len(labels) == 1 else labels
