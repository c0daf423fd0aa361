# F frequencies, T time frames, S samples of a sound
"""I-JEPA on spectrograms, which are images of one channel: python examples/spectrograms.py --steps 200."""

import argparse

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import OnlineLinearProbe, ProbeReport
from jepa_lightning.data import JEPADataModule

KINDS = ("rising", "falling", "steady", "pulsing")
RATE, SAMPLES = 8000, 8128


def sound(index: int) -> tuple[Tensor, int]:
    """A noisy tone [S] of one of four kinds."""
    generator, kind = torch.Generator().manual_seed(index), index % len(KINDS)
    time = torch.arange(SAMPLES) / RATE
    low, high = (400 + 1200 * torch.rand(2, generator=generator)).tolist()
    slope = {"rising": high, "falling": -min(high, low * 0.9) / 2}.get(KINDS[kind], 0.0)
    tone = torch.sin(2 * torch.pi * (low * time + slope * time.square() / 2))
    if KINDS[kind] == "pulsing":
        tone = tone * (torch.sin(2 * torch.pi * 6 * time) > 0)
    return tone + 0.2 * torch.randn(SAMPLES, generator=generator), kind


def spectrogram(waveform: Tensor) -> Tensor:
    """Power of 64 frequencies in 64 frames as [1, F, T], from 0 at -60 dB to 1 at the loudest."""
    power = torch.stft(waveform, 256, 128, window=torch.hann_window(256), return_complex=True).abs().square()[:64, :64]
    decibels = 10 * torch.log10(power / power.max() + 1e-6)
    return (1 + decibels / 60).clamp(0, 1)[None]


class SpectrogramsDataModule(JEPADataModule):
    """Spectrograms with the mean and std of the training set, which the module takes from here."""

    num_classes = len(KINDS)

    def __init__(self, batch_size: int = 64, num_workers: int = 0) -> None:
        sets = [[(spectrogram(sound(i)[0]), sound(i)[1], None) for i in part] for part in (range(384), range(384, 480))]
        pixels = torch.stack([image for image, _, _ in sets[0]])
        super().__init__(batch_size, num_workers, in_channels=1, mean=[pixels.mean().item()], std=[pixels.std().item()])
        self.sets = sets

    def build_datasets(self) -> tuple:
        """Training and validation set."""
        return tuple(self.sets)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="of the optimizer; default: %(default)s")
    options = parser.parse_args(args)
    module = IJEPA(
        "vit_tiny", image_size=64, patch_size=8, width=96, depth=3, in_channels=1, predictor_depth=2, predictor_dim=96,
        crop_scale=(0.9, 1.0), content=1.0,
    )  # fmt: skip
    data = SpectrogramsDataModule()
    trainer = Trainer(max_steps=options.steps, callbacks=[OnlineLinearProbe(), ProbeReport()])
    trainer.fit(module, data)
    trainer.validate(module, data)
    trainer.save_checkpoint("spectrograms.ckpt")
    restored = IJEPA.load_from_checkpoint("spectrograms.ckpt")
    waveform, kind = sound(0)
    features = restored(restored.preprocess(spectrogram(waveform)))
    print(f"features of a {KINDS[kind]} tone: {tuple(features.shape)}, normalized with mean {restored.mean[0]:.3f}")


if __name__ == "__main__":
    main()
