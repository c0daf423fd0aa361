# ruff: noqa: D102 (methods are those of LightningModule)
"""Callbacks on LightningModules that know nothing of this package: python examples/probe_any_module.py --steps 200."""

import argparse

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from jepa_lightning.callbacks import (
    CollapseMonitor,
    EMACallback,
    FeatureWriter,
    OnlineAttentiveProbe,
    OnlineKNN,
    OnlineLinearProbe,
    ProbeReport,
    Summary,
)


def convnet() -> nn.Sequential:
    """Images ``[B, 3, 32, 32]`` to a map ``[B, 64, 4, 4]``."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.ReLU()]
    return nn.Sequential(*layers)


class Classifier(LightningModule):
    """A supervised classifier of batches ``(image, label)``."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = convnet()
        self.head = nn.Linear(64, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.backbone(images).mean((2, 3)))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.training_step(batch, batch_idx))

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self(batch[0])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


class SimCLR(LightningModule):
    """Contrasts two views in batches ``{"views": (one, other), "label": label}``; an average follows the backbone."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.average = convnet(), convnet().requires_grad_(False)
        self.average.load_state_dict(self.backbone.state_dict())
        self.projector = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32))

    def training_step(self, batch: dict, batch_idx: int) -> dict[str, Tensor]:
        features = self.backbone(torch.cat(batch["views"])).mean((2, 3))
        half = len(features) // 2
        projected = F.normalize(self.projector(features), dim=1)
        similar = (projected @ projected.T / 0.2).fill_diagonal_(-torch.inf)
        loss = F.cross_entropy(similar, torch.arange(2 * half, device=self.device).roll(half))
        return {"loss": loss, "backbone": features[:half].detach()}

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW([*self.backbone.parameters(), *self.projector.parameters()], lr=1e-3)


class Gratings(Dataset):
    """Stripes at one of four angles, in two views, which differ in phase and brightness, where asked for."""

    def __init__(self, size: int, first: int = 0, two_views: bool = False) -> None:
        self.size, self.first, self.two_views = size, first, two_views

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Tensor, int] | dict:
        draw = torch.Generator().manual_seed(self.first + index)
        label, place = index % 4, torch.arange(32) / 1.6
        angle = torch.tensor(torch.pi * label / 4)

        def view() -> Tensor:
            phase, bright = 6.28 * torch.rand(1, generator=draw), 0.5 + torch.rand(1, generator=draw)
            wave = bright * torch.sin(angle.cos() * place + angle.sin() * place[:, None] + phase)
            return (wave + 0.5 * torch.randn(32, 32, generator=draw)).expand(3, -1, -1)

        return {"views": (view(), view()), "label": label} if self.two_views else (view(), label)


def supervised_callbacks() -> list[Callback]:
    """Batches are ``(image, label)``, as the defaults have it."""
    where = {"features": "backbone", "num_classes": 4}
    probes = [OnlineLinearProbe(**where), OnlineAttentiveProbe(**where), OnlineKNN(**where)]
    report, monitor = ProbeReport(features="backbone"), CollapseMonitor(features="backbone", memory=128)
    writer = FeatureWriter("features.npz", features="backbone", overwrite=True)
    return [*probes, report, monitor, writer, Summary()]


def simclr_callbacks() -> list[Callback]:
    """Batches are dicts, and the training step returns pooled features as ``backbone``."""
    where = {"features": "backbone", "images": "views"}
    probes = [OnlineLinearProbe(4, labels="label", **where), OnlineKNN(4, labels="label", **where)]
    average = OnlineLinearProbe(4, name="average", features="average", images="views", labels="label")
    report, monitor = ProbeReport(labels="label", **where), CollapseMonitor(memory=128, **where)
    return [EMACallback(0.99, pairs=[("backbone", "average")]), *probes, average, report, monitor, Summary()]


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="of the optimizer; default: %(default)s")
    steps = parser.parse_args(args).steps
    for module, callbacks, two_views in (
        (Classifier(), supervised_callbacks(), False),
        (SimCLR(), simclr_callbacks(), True),
    ):
        train = DataLoader(Gratings(2048, two_views=two_views), 64, shuffle=True, drop_last=True)
        val = DataLoader(Gratings(256, 10**6, two_views), 64)
        trainer = Trainer(max_steps=steps, max_epochs=-1, check_val_every_n_epoch=None, callbacks=callbacks,
                          val_check_interval=max(1, steps // 4), enable_progress_bar=False)  # fmt: skip
        trainer.fit(module, train, val)
        if not two_views:
            trainer.predict(module, val, return_predictions=False)


if __name__ == "__main__":
    main()
