# N images, D width
"""Linear probe and nearest neighbors on the frozen features of a checkpoint, beside random weights and raw pixels.

python examples/probe_a_checkpoint.py CHECKPOINT --data digits
python examples/probe_a_checkpoint.py CHECKPOINT --data DIR --layers 4
python examples/probe_a_checkpoint.py CHECKPOINT --method BYOL
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

import jepa_lightning
from jepa_lightning import JEPAModule
from jepa_lightning.data import DigitsDataModule, ImageFolderDataModule, JEPADataModule, ShapesDataModule
from jepa_lightning.types import Batch

Samples = tuple[np.ndarray, np.ndarray]


def build_data(name: str, module: JEPAModule, num_workers: int) -> JEPADataModule:
    """The data set of a name, shown as the module asks for."""
    options = {"pipeline": module.pipeline(), "batch_size": 128, "num_workers": num_workers}
    built_in = {"shapes": ShapesDataModule, "digits": DigitsDataModule}
    data = built_in[name](**options) if name in built_in else ImageFolderDataModule(name, **options)
    data.setup()
    return data


def batches(loader: DataLoader, most: int) -> list[Batch]:
    """The first ``most`` images of a fixed order of a loader."""
    order = torch.randperm(len(loader.dataset), generator=torch.Generator().manual_seed(0))[:most]
    part = Subset(loader.dataset, order.tolist())
    return list(DataLoader(part, loader.batch_size, collate_fn=loader.collate_fn, num_workers=loader.num_workers))


def labels(batch: Batch, name: str | None) -> Tensor:
    """One label of each image."""
    if batch.labels is None:
        raise SystemExit("the images have no labels to probe for: use a folder with a subfolder for each class.")
    if isinstance(batch.labels, dict):
        return batch.labels[name or next(iter(batch.labels))]
    return batch.labels


@torch.inference_mode()
def features(module: JEPAModule, part: list[Batch], layers: int) -> np.ndarray:
    """Pooled features of the last blocks, side by side: [N, layers * D]."""
    taken = None if layers == 1 else list(range(-layers, 0))
    return torch.cat([module(batch.views[0].to(module.device), layers=taken).cpu() for batch in part]).numpy()


def pixels(part: list[Batch]) -> np.ndarray:
    """The views themselves, averaged down to at most 32 x 32."""
    small = [F.adaptive_avg_pool2d(b.views[0], [min(32, side) for side in b.views[0].shape[2:]]) for b in part]
    return torch.cat(small).flatten(1).numpy()


def report(name: str, train: Samples, val: Samples) -> None:
    # the regularization that leaves one out best, for each kind of features its own
    linear = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(-2, 6, 17))).fit(*train)
    centered = make_pipeline(StandardScaler(with_std=False), Normalizer())
    knn = make_pipeline(centered, KNeighborsClassifier(min(20, len(train[0])), weights="distance")).fit(*train)
    print(f"{name:<20}{train[0].shape[1]:>8}{linear.score(*val):>10.3f}{knn.score(*val):>10.3f}")


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="such as logs/IJEPA/version_0/checkpoints/last.ckpt")
    parser.add_argument("--method", default="IJEPA", choices=jepa_lightning.__all__, help="that the checkpoint is of")
    parser.add_argument("--data", default="shapes", help="shapes, digits, or a folder with a subfolder a class")
    parser.add_argument("--label", help="which label, where images have several; default the first")
    parser.add_argument("--layers", type=int, default=1, help="last blocks to join; the paper tries 1 and 4")
    parser.add_argument("--max-samples", type=int, default=5000, help="training and validation images, each at most")
    parser.add_argument("--num-workers", type=int, default=2, help="processes that load data; default: %(default)s")
    options = parser.parse_args(args)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    method = getattr(jepa_lightning, options.method)
    trained = method.load_from_checkpoint(options.checkpoint, map_location=device).eval()
    # Lightning's command line leaves entries of its own, which begin with _
    untrained = method(**{name: value for name, value in trained.hparams.items() if name[0] != "_"}).to(device).eval()
    data = build_data(options.data, trained, options.num_workers)
    parts = [batches(loader, options.max_samples) for loader in (data.memory_dataloader(), data.val_dataloader())]
    classes = [torch.cat([labels(batch, options.label) for batch in part]).numpy() for part in parts]
    print(f"{'features':<20}{'width':>8}{'linear':>10}{'kNN':>10}")
    for name, encode in (
        ("checkpoint", lambda part: features(trained, part, options.layers)),
        ("random weights", lambda part: features(untrained, part, options.layers)),
        ("raw pixels", pixels),
    ):
        report(name, *((encode(part), column) for part, column in zip(parts, classes, strict=True)))


if __name__ == "__main__":
    main()
