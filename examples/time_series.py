# B batch, C channels, T time steps, N patches, K kept patches, D width
"""I-JEPA on time series, with an encoder and a pipeline of your own: python examples/time_series.py --steps 200."""

import argparse
import math

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.core.mixins import HyperparametersMixin
from torch import Tensor, nn

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import OnlineLinearProbe, ProbeReport
from jepa_lightning.data import Collate, JEPADataModule, Pipeline
from jepa_lightning.nn import TransformerBlock, sincos_pos_embed, take_tokens

LENGTH, CHANNELS = 256, 2


class SeriesEncoder(nn.Module, HyperparametersMixin):
    """Patches of a series to tokens. What an encoder needs: width, grid_size, and forward with keep."""

    def __init__(self, length: int = LENGTH, channels: int = CHANNELS, patch: int = 8, width: int = 64, depth: int = 3):
        super().__init__()
        self.save_hyperparameters()  # so that checkpoints can build it again
        self.width, self.grid_size, self.in_channels = width, (length // patch,), channels
        self.embed = nn.Conv1d(channels, width, patch, patch)
        self.register_buffer("positions", sincos_pos_embed(width, self.grid_size)[None], persistent=False)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads=4) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """[B, C, T] to [B, N, D], or to [B, K, D] at the indices keep [B, K]."""
        tokens = self.embed(x).transpose(1, 2) + self.positions
        if keep is not None:
            tokens = take_tokens(tokens, keep)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)


class SeriesJEPA(IJEPA):
    """I-JEPA whose views are windows of a series instead of crops of an image."""

    def pipeline(self) -> Pipeline:
        """A random window in training, the middle one in evaluation, and the masks of I-JEPA on one axis."""
        return Pipeline(random_window, middle_window, Collate((self.masks,)))


def random_window(series: Tensor) -> list[Tensor]:
    """A view of a longer series; chance comes from torch's generator, which the loaders seed."""
    start = int(torch.randint(series.shape[1] - LENGTH + 1, ()))
    return [series[:, start : start + LENGTH]]


def middle_window(series: Tensor) -> list[Tensor]:
    """The view of validation and predict."""
    start = (series.shape[1] - LENGTH) // 2
    return [series[:, start : start + LENGTH]]


def oscillation(index: int) -> tuple[Tensor, int, None]:
    """Two noisy channels [C, T] of one of four periods, the second delayed; the period is the label."""
    generator, label = torch.Generator().manual_seed(index), index % 4
    phase, delay = (torch.rand(2, generator=generator) * 2 * math.pi).tolist()
    angle = torch.arange(LENGTH + 64) * 2 * math.pi / (12 * 1.6**label) + phase
    clean = torch.stack([angle.sin(), (angle - delay).sin()])
    return clean + 0.3 * torch.randn(clean.shape, generator=generator), label, None


class OscillationsDataModule(JEPADataModule):
    """Series from a formula."""

    num_classes = 4

    def build_datasets(self) -> tuple:
        """Training and validation set."""
        return [oscillation(index) for index in range(512)], [oscillation(index) for index in range(512, 640)]


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="of the optimizer; default: %(default)s")
    options = parser.parse_args(args)
    module = SeriesJEPA(
        encoder=SeriesEncoder(), image_size=(1, LENGTH), in_channels=CHANNELS, predictor_depth=2, predictor_dim=64,
        min_keep=6, content=1.0, target_scale=(0.1, 0.15),
    )  # fmt: skip
    data = OscillationsDataModule(batch_size=64, num_workers=0, in_channels=CHANNELS)
    trainer = Trainer(max_steps=options.steps, callbacks=[OnlineLinearProbe(), ProbeReport()])
    trainer.fit(module, data)
    trainer.validate(module, data)
    trainer.save_checkpoint("series.ckpt")
    restored = SeriesJEPA.load_from_checkpoint("series.ckpt")  # no arguments: the encoder's class is imported here
    print(f"features of one series: {tuple(restored(oscillation(0)[0][None, :, :LENGTH]).shape)}")


if __name__ == "__main__":
    main()
