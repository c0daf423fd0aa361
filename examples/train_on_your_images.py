"""From a folder of images to a trained checkpoint and a file of features.

python examples/train_on_your_images.py DIR --output runs/mine

DIR holds train/CLASS/* and val/CLASS/*, or CLASS/*, or images without labels. Labels are for the probes alone.
"""

import argparse
from pathlib import Path

from lightning.pytorch import Callback, Trainer, seed_everything
from new_files import refuse_existing

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import CollapseMonitor, FeatureWriter, OnlineKNN, OnlineLinearProbe, ProbeReport, Summary
from jepa_lightning.data import ImageFolderDataModule


def train(data: ImageFolderDataModule, options: argparse.Namespace, path: Path) -> None:
    """Trains on the folder and writes a checkpoint."""
    # encoders of timm have patch embeddings of their own
    embedding = "linear" if options.encoder.startswith("timm:") else "convolutional"
    # the recipe of configs/ijepa/small.yaml
    module = IJEPA(
        encoder=options.encoder,
        image_size=options.image_size,
        patch_size=options.patch_size,
        patch_embedding=embedding,
        predictor_depth=2,
        predictor_dim=96,
        num_targets=1,
        target_scale=(0.1, 0.15),
        context_scale=(1.0, 1.0),
        target_layers=4,
        regularizer="uniformity",
        uniformity=2.0,
        projector_dim=512,
        content=1.0,
        num_crops=2,
        invariance=4.0,
        crop_scale=(0.6, 1.0),
        start_lr=1e-5,
        warmup=0.1,
        final_weight_decay=0.04,
        ema=(0.97, 1.0),
    )
    data.setup()
    callbacks: list[Callback] = [CollapseMonitor()]
    if data.num_classes > 1:
        callbacks += [OnlineLinearProbe(), OnlineKNN(), ProbeReport()]
    trainer = Trainer(
        max_steps=options.steps,
        # small folders have short epochs: validate by steps
        val_check_interval=max(1, options.steps // 20),
        check_val_every_n_epoch=None,
        callbacks=[*callbacks, Summary()],
        default_root_dir=options.output,
    )
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint(path)


def write_features(data: ImageFolderDataModule, checkpoint: Path, path: Path) -> None:
    """Writes the pooled features of every image, with its label and path."""
    trainer = Trainer(devices=1, logger=False, callbacks=[FeatureWriter(path)])
    trainer.predict(IJEPA.load_from_checkpoint(checkpoint), datamodule=data, return_predictions=False)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="DIR", help="the images")
    parser.add_argument("--output", type=Path, default=Path("runs/your_images"), help="folder for everything written")
    parser.add_argument("--encoder", default="vit_tiny", help="a Vision Transformer by its name; default: %(default)s")
    parser.add_argument("--image-size", type=int, default=64, help="pixels per side of a view")
    parser.add_argument("--patch-size", type=int, default=8, help="side of a patch in pixels; default: %(default)s")
    parser.add_argument("--steps", type=int, default=1500, help="of the optimizer; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=64, help="samples of a step; default: %(default)s")
    parser.add_argument("--num-workers", type=int, default=2, help="processes that load data; default: %(default)s")
    options = parser.parse_args(args)
    checkpoint, features = options.output / "trained.ckpt", options.output / "features.npz"
    refuse_existing(checkpoint, features, option="--output")
    seed_everything(0)
    data = ImageFolderDataModule(options.root, batch_size=options.batch_size, num_workers=options.num_workers)
    train(data, options, checkpoint)
    write_features(data, checkpoint, features)


if __name__ == "__main__":
    main()
