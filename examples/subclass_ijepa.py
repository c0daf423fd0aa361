# B batch, C channels, H W height and width, D width, M target blocks, Kt target tokens
"""I-JEPA with an encoder, a distance and data of your own: python examples/subclass_ijepa.py."""

import argparse

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import CollapseMonitor, OnlineKNN, OnlineLinearProbe
from jepa_lightning.data import JEPADataModule


class ConvIJEPA(IJEPA):
    """I-JEPA with two convolutions before its transformer, and a Charbonnier distance."""

    def build_encoder(self) -> nn.Module:
        """Any network that has width and grid_size, and takes keep= and layers=."""
        encoder = super().build_encoder()
        # no batch norm here: an EMA leaves its running statistics behind
        encoder.patch_embed.proj = nn.Sequential(nn.Conv2d(3, 64, 4, 4), nn.GELU(), nn.Conv2d(64, encoder.width, 2, 2))
        return encoder

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """[B, M, Kt, D] to [B]."""
        return ((predicted - target).square() + 1e-3).sqrt().flatten(1).mean(1)


def grating(index: int) -> tuple[Tensor, int, None]:
    """Stripes at one of four angles: image uint8 [C, H, W], label, and path or None."""
    angle, place = torch.tensor(torch.pi * (index % 4) / 4), torch.arange(40) / 1.6
    wave = torch.sin(angle.cos() * place + angle.sin() * place[:, None] + index)
    return (127.5 + 127.5 * wave).byte().expand(3, -1, -1), index % 4, None


class GratingsDataModule(JEPADataModule):
    """Loading, seeding and resuming come from the base."""

    num_classes = 4

    def build_datasets(self) -> tuple:
        """Training and validation set: any torch Dataset, or a list."""
        return [grating(index) for index in range(512)], [grating(index) for index in range(512, 640)]


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=4, help="of training; default: %(default)s")
    callbacks = [OnlineLinearProbe(), OnlineKNN(), CollapseMonitor(every_n_steps=8)]
    trainer = Trainer(max_epochs=parser.parse_args(args).epochs, callbacks=callbacks)
    model = ConvIJEPA("vit_tiny", image_size=32, patch_size=8, depth=2, predictor_depth=1, predictor_dim=96, min_keep=4)
    trainer.fit(model, datamodule=GratingsDataModule(batch_size=64, num_workers=0))


if __name__ == "__main__":
    main()
