"""Which initialization keeps features: its two parts on and off, over methods, patch sizes and data.

python examples/initialization_study.py --methods IJEPA SimCLR --patches 4 8 --data digits --out study
python examples/initialization_study.py --methods IJEPA --patches 4 --image-size 28 --data DIR --out study

The two parts are those of `nn.init.init_weights`: patch embeddings at the scale of the position table, and output
projections that shrink with depth. Each run trains a small ViT, and judges pooled features of the evaluation encoder by
logistic regression and by 20 nearest neighbors, before and after training. OUT.csv has a row for each finished run, and
a study that was killed continues there.
"""

import argparse
import itertools
from typing import Any

import torch
from kept_rows import KeptRows
from lightning.pytorch import Trainer, seed_everything
from new_files import path_of
from run_options import study_parser
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.utils.data import DataLoader

import jepa_lightning
from jepa_lightning import JEPAModule
from jepa_lightning.data import DigitsDataModule, ImageFolderDataModule, JEPADataModule, ShapesDataModule
from jepa_lightning.nn import Predictor, VisionTransformer
from jepa_lightning.nn.init import init_weights

OPTIONS = {
    "IJEPA": {"predictor_depth": 2, "predictor_dim": 96, "content": 1.0, "crop_scale": (0.8, 1.0), "ema": (0.97, 1.0)},
    "MAE": {"decoder_depth": 2, "decoder_dim": 96, "decoder_heads": 3, "interpolation": "bilinear"},
    "SimCLR": {"projector_hidden": 512, "temperature": 0.2},
    # with the paper's EMA the teacher, which is judged, has hardly left its random weights after 100 steps
    "DINO": {
        "num_prototypes": 1024, "head_hidden": 256, "bottleneck_dim": 64, "num_local": 2, "ema": (0.97, 1.0),
        "freeze_prototypes": 0, "teacher_warmup": 0.3, "drop_path": 0.0, "interpolation": "bilinear",
    },
    "VICReg": {"projector_dim": 512},
}  # fmt: skip
TOKENS = 8  # a side, where no image size is given
SETTINGS = ("steps", "batch_size", "image_size", "width", "depth", "precision")  # that all rows share


def build_data(name: str, **options: Any) -> JEPADataModule:
    if name == "digits":
        return DigitsDataModule(**options)
    return ShapesDataModule(**options) if name == "scenes" else ImageFolderDataModule(name, **options)


def build_module(name: str, patch: int, image_size: int, width: int, depth: int) -> JEPAModule:
    common = {
        "encoder": "vit_tiny", "width": width, "depth": depth, "optimizer": "adamw", "lr": 1e-3, "start_lr": 1e-5,
        "final_lr": 1e-6, "warmup": 0.1, "weight_decay": 0.04, "final_weight_decay": 0.04,
    }  # fmt: skip
    return getattr(jepa_lightning, name)(**common, patch_size=patch, image_size=image_size, **OPTIONS[name])


def initialize_(module: JEPAModule, scale_patches: bool, scale_depth: bool) -> None:
    """Draws the weights of all transformers anew; EMA targets start as their online networks."""
    for network in module.modules():
        if isinstance(network, (VisionTransformer, Predictor)):
            blocks = network.blocks if isinstance(network, VisionTransformer) else network.predictor_blocks
            init_weights(network, blocks, scale_patches=scale_patches, scale_depth=scale_depth)
    for online, target in module.ema_pairs():
        target.load_state_dict(online.state_dict())


@torch.no_grad()
def features_of(module: JEPAModule, loader: DataLoader) -> tuple[Tensor, Tensor]:
    """Pooled features ``[S, D]`` and labels ``[S]``; scenes are judged by their shape."""
    module.eval()
    features, labels = [], []
    for batch in loader:
        features.append(module(batch.views[0]))
        labels.append(batch.labels["shape"] if isinstance(batch.labels, dict) else batch.labels)
    return torch.cat(features), torch.cat(labels)


def judge(module: JEPAModule, data: JEPADataModule) -> tuple[float, float]:
    """Accuracy of logistic regression and of nearest neighbors on the validation set."""
    (train, classes), (val, truth) = (
        features_of(module, loader) for loader in (data.memory_dataloader(), data.val_dataloader())
    )
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(train, classes)
    mean = train.mean(dim=0)
    knn = KNeighborsClassifier(20, metric="cosine").fit(train - mean, classes)
    return float(linear.score(val, truth)), float(knn.score(val - mean, truth))


def run(name: str, patch: int, scales: tuple[bool, bool], seed: int, options: argparse.Namespace) -> dict[str, object]:
    """One row of the table, beside its settings."""
    seed_everything(seed, workers=True, verbose=False)
    module = build_module(name, patch, options.image_size or TOKENS * patch, options.width, options.depth)
    initialize_(module, *scales)
    data = build_data(
        options.data, batch_size=options.batch_size, num_workers=options.num_workers, pipeline=module.pipeline()
    )
    data.setup()
    trainer = Trainer(
        max_steps=options.steps, limit_val_batches=0, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, accelerator="auto", precision=options.precision,
    )  # fmt: skip
    before = judge(module, data)
    trainer.fit(module.train(), datamodule=data)
    after = judge(module, data)
    judged = dict(zip(("linear before", "knn before", "linear", "knn"), (*before, *after), strict=True))
    return {
        "method": name, "data": options.data, "patch": patch,
        "scaled patches": int(scales[0]), "scaled depth": int(scales[1]),
        **{column: f"{value:.3f}" for column, value in judged.items()},
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = study_parser(__doc__, steps=150, seeds=(0,), num_workers=0, out="initialization", writes="OUT.csv")
    parser.add_argument(
        "--methods",
        nargs="+",
        default=["IJEPA", "SimCLR", "MAE", "DINO"],
        choices=list(OPTIONS),
        help="which to train; default: %(default)s",
    )
    parser.add_argument(
        "--patches", type=int, nargs="+", default=[4, 6, 8, 16], help="sides of patches in pixels; default: %(default)s"
    )
    parser.add_argument("--data", default="digits", help="digits, scenes, or a folder of images")
    parser.add_argument("--image-size", type=int, help="default: 8 patches a side")
    parser.add_argument("--width", type=int, default=96, help="of the tokens; default: %(default)s")
    parser.add_argument("--depth", type=int, default=4, help="blocks of the encoder; default: %(default)s")
    options = parser.parse_args(arguments)
    settings = {name: getattr(options, name) for name in SETTINGS}
    kept = KeptRows(path_of(options.out, ".csv"), "initialization", settings)
    parts = list(itertools.product((False, True), repeat=2))
    for name, patch, seed, scales in itertools.product(options.methods, options.patches, options.seeds, parts):
        title = f"{name} on {options.data}, patch {patch}, scales {scales[0]:d} {scales[1]:d}"
        if not kept.has(title, seed):
            row = run(name, patch, scales, seed, options)
            kept.add(title, seed, [row])
            print("  ".join(map(str, [*row.values(), seed])), flush=True)


if __name__ == "__main__":
    main()
