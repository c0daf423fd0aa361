from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader

from jepa_lightning.callbacks.probes.labels import ProbeLabels
from jepa_lightning.callbacks.probes.report_samples import SampleReader
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.features import MAX_PIXEL_VALUES

IMAGES = torch.randn(12, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def reader(trainer: Any, pixels: bool = False, attends: bool = False) -> SampleReader:
    module = LightningModule()
    module.backbone = nn.Identity()
    return SampleReader(trainer, module, Source("R", "backbone"), ProbeLabels("R", "x", strict=False), pixels, attends)


def loader(labels: torch.Tensor, images: torch.Tensor = IMAGES) -> DataLoader[Any]:
    return DataLoader(list(zip(images, labels, strict=True)), 5)  # type: ignore[arg-type]


def by_label(found: Any, name: str) -> torch.Tensor:
    return getattr(found, name)[found.labels[""].argsort()]


def test_features_and_tokens_of_the_samples_that_have_labels(quiet_trainer: Any) -> None:
    labels = torch.arange(12)
    labels[[2, 7]] = -1
    found: Any = reader(quiet_trainer(), attends=True).read(loader(labels), 99)
    known = labels >= 0
    assert sorted(found.labels[""].tolist()) == labels[known].tolist()
    torch.testing.assert_close(by_label(found, "features"), IMAGES[known].mean((2, 3)))
    tokens = IMAGES[known].flatten(2).transpose(1, 2)
    torch.testing.assert_close(by_label(found, "tokens"), tokens.bfloat16())
    assert found.first(3).features.shape == (3, 3)
    assert reader(quiet_trainer()).read(loader(torch.full((12,), -1)), 99) is None


def test_no_more_samples_than_asked_for(quiet_trainer: Any) -> None:
    found: Any = reader(quiet_trainer()).read(loader(torch.arange(12)), 7)
    assert found.features.shape == (7, 3)
    assert found.tokens is None


def test_pixels_are_averaged_down_where_they_are_large(quiet_trainer: Any) -> None:
    found: Any = reader(quiet_trainer(), pixels=True).read(loader(torch.arange(12)), 99)
    assert torch.equal(by_label(found, "features"), IMAGES.flatten(1))
    large = torch.randn(12, 3, 96, 96)
    found = reader(quiet_trainer(), pixels=True).read(loader(torch.arange(12), large), 99)
    blocks = large.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).flatten(1)
    assert blocks.shape[1] == MAX_PIXEL_VALUES
    torch.testing.assert_close(by_label(found, "features"), blocks)
