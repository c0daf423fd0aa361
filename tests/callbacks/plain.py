"""LightningModules that know nothing of this package."""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader


class Plain(LightningModule):
    """A classifier with dropout and a batch norm; its backbone gives maps ``[B, 8, 4, 4]``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1))
        self.head = nn.Linear(8, 3)
        self.average = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8)).requires_grad_(False)
        self.calls = 0

    def take(self, batch: Any) -> tuple[Tensor, Tensor]:
        return (batch["image"], batch["digit"]) if isinstance(batch, dict) else batch[:2]

    def loss(self, batch: Any) -> Tensor:
        images, labels = self.take(batch)
        return F.cross_entropy(self.head(self.backbone(images).mean((2, 3))), labels)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.loss(batch)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.log("val/loss", self.loss(batch))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.take(batch)[1]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([*self.backbone.parameters(), *self.head.parameters()], lr=0.05)


class Skips(Plain):
    """Skips each second batch."""

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return None if batch_idx % 2 == 0 else self.loss(batch)


class Manual(Plain):
    """Two optimizers, both of which step in each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(self.loss(batch))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.05) for part in (self.backbone, self.head)]


class Uncounted(Manual):
    """Steps in a way that the Trainer does not see."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.manual_backward(self.loss(batch))
        self.optimizers(use_pl_optimizer=False)[0].step()


def samples(size: int, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Images of three mean colors, and which one."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(size) % 3
    images = torch.randn(size, 3, 8, 8, generator=draw) + 2 * F.one_hot(labels, 3)[:, :, None, None]
    return list(zip(images, labels, strict=True))


def loaders(size: int = 48) -> tuple[DataLoader[Any], DataLoader[Any]]:
    return DataLoader(samples(size), 8, shuffle=True), DataLoader(samples(24, 1), 8)  # type: ignore[arg-type]
