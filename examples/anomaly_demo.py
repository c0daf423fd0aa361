# B batch, C channels, T H W frames, height, width, N tokens or windows, F features
"""The demos of find_anomalies.py: odd samples that are held out, and what finds them.

Each detector has several scores. The best of them, by the mean AUROC over the kinds of odd samples, is chosen on one
half of the samples, and the AUROC in the table is of the other half.
"""

import argparse
from collections.abc import Callable
from statistics import mean, stdev
from typing import Any, NamedTuple, get_args

import torch
from intuitive_physics import CONTEXT, IMAGE_SIZE, NUM_FRAMES, STEP, PossibleClips, PossiblePhysicsDataModule
from intuitive_physics import build_model as build_vjepa
from lightning.pytorch import Trainer, seed_everything
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning import IJEPA, JEPAModule
from jepa_lightning.data import JEPADataModule, OddScenesDataModule, OddScenesDataset, ViolationDataset
from jepa_lightning.energy import Score, anomaly_score, auroc, energy_map
from jepa_lightning.evaluation import surprise

HELD_OUT = 1 << 31  # far from scenes of training and validation
PATCH = 8  # pixels of the places whose statistics are taken


class Samples(NamedTuple):
    """Samples to judge, and normal ones of the training set.

    Attributes:
        views: ``[B, C, H, W]`` or ``[B, C, T, H, W]``.
        odd: bool ``[B]``.
        kind: int64 ``[B]``, of odd ones; of normal ones the kind that they are compared with, -1 for all.
        names: of the kinds.
        normal: views for the statistics of pixels.
    """

    views: Tensor
    odd: Tensor
    kind: Tensor
    names: tuple[str, ...]
    normal: Tensor


class Demo(NamedTuple):
    """What is trained on which normal samples, and how it is asked."""

    build: Callable[[], JEPAModule]
    data: type[JEPADataModule]
    samples: Callable[[JEPAModule, int], Samples]
    energies: Callable[[JEPAModule, Tensor], Tensor]  # [B, N]
    steps: int
    batch_size: int


def build_ijepa() -> IJEPA:
    return IJEPA(
        "vit_tiny", image_size=48, patch_size=8, width=96, depth=2, heads=3, predictor_depth=2, predictor_dim=48,
        num_targets=3, min_keep=6, target_layers=2, content=1.0, crop_scale=(1.0, 1.0), lr=1e-3, start_lr=1e-5,
        warmup=0.1, final_weight_decay=0.04, ema=(0.97, 1.0),
    )  # fmt: skip


def odd_scenes(module: JEPAModule, number: int) -> Samples:
    """Scenes of nine equal objects, of which one has another color or shape, or is missing."""
    kinds = ("none", "color", "shape", "missing")
    scenes, normal = OddScenesDataset(len(kinds) * number, 48, kinds, offset=HELD_OUT), OddScenesDataset(1024, 48)
    views, others = (module.preprocess([data[i][0] for i in range(len(data))]).cpu() for data in (scenes, normal))
    kind = torch.arange(len(scenes)) % len(kinds) - 1
    return Samples(views, kind >= 0, kind, ("odd color", "odd shape", "missing object"), others)


def physics_clips(module: JEPAModule, number: int) -> Samples:
    """Possible clips, and such in which a law is broken, of other scenes: intuitive_physics.py has pairs instead."""
    pairs = ViolationDataset(20 * (number // 2), NUM_FRAMES, IMAGE_SIZE)
    (shown,) = module.pipeline().eval_transform.crops  # type: ignore[attr-defined]
    names = tuple(dict.fromkeys(pairs[2 * i].violation for i in range(5)))
    clips, odd, kind = [], [], []
    for i in range(len(pairs)):
        pair = pairs[i]
        odd.append(i // 10 % 2 == 1)  # two twins of each kind, and then two more
        clips.append(shown((pair.impossible if odd[-1] else pair.possible)[::STEP]).transpose(0, 1))
        kind.append(names.index(pair.violation))
    data = PossibleClips(512, seed=1)
    normal = torch.stack([shown(data[i][0][::STEP]).transpose(0, 1) for i in range(len(data))])
    return Samples(torch.stack(clips), torch.tensor(odd), torch.tensor(kind), names, normal)


def token_energies(module: JEPAModule, views: Tensor) -> Tensor:
    return torch.cat([energy_map(module, some.to(module.device)).cpu() for some in views.split(128)])


def window_energies(module: JEPAModule, views: Tensor) -> Tensor:
    return torch.cat([surprise(module, some.to(module.device), CONTEXT).cpu() for some in views.split(50)])


DEMOS = {
    "shapes": Demo(build_ijepa, OddScenesDataModule, odd_scenes, token_energies, 2000, 32),
    "physics": Demo(build_vjepa, PossiblePhysicsDataModule, physics_clips, window_energies, 2000, 32),
}


def statistics(views: Tensor) -> Tensor:
    """Mean and spread of each channel in each patch, and of a clip the change to the next frame: ``[B, N, F]``."""
    frames = views.unsqueeze(2) if views.ndim == 4 else views
    pooled = [F.avg_pool3d(each, (1, PATCH, PATCH)) for each in (frames, frames.square())]
    parts = [pooled[0], (pooled[1] - pooled[0].square()).clamp_min(0).sqrt()]
    if views.ndim == 5:
        changes = F.avg_pool3d(frames.diff(dim=2).abs(), (1, PATCH, PATCH))
        parts = [*(part[:, :, 1:] for part in parts), changes]
    return torch.cat(parts, dim=1).flatten(2).transpose(1, 2)


def all_scores(energies: Tensor) -> dict[str, Tensor]:
    """Each score of ``[B, N]`` energies, and of what they are relative to the median of all samples: ``[B]``."""
    kinds = {"": energies, "relative ": relative(energies)}
    return {name + how: anomaly_score(each, how) for name, each in kinds.items() for how in get_args(Score)}


def relative(energies: Tensor) -> Tensor:
    """Energies ``[B, N]`` over the median of all samples at the same place: some places are harder to predict."""
    return energies / energies.median(dim=0).values


def pixel_scores(samples: Samples) -> dict[str, dict[str, Tensor]]:
    """Scores by how far statistics of pixels are from those of normal samples."""
    normal, own = statistics(samples.normal), statistics(samples.views)
    gauss = EmpiricalCovariance().fit(normal.flatten(0, 1).numpy())
    distances = torch.from_numpy(gauss.mahalanobis(own.flatten(0, 1).numpy())).reshape(own.shape[:2])
    scaler = StandardScaler().fit(normal.flatten(1))
    nearest = NearestNeighbors(n_neighbors=1).fit(scaler.transform(normal.flatten(1)))
    to_nearest = torch.from_numpy(nearest.kneighbors(scaler.transform(own.flatten(1)))[0][:, 0])
    return {
        "pixel statistics, Gaussian of patches": all_scores(distances),
        "pixel statistics, nearest neighbor": {"distance": to_nearest},
    }


def separation(scores: Tensor, samples: Samples, half: int) -> list[float]:
    """AUROC of each kind of odd samples against normal ones, in the first or the second half of each."""
    found = []
    for kind in range(len(samples.names)):
        normal = scores[~samples.odd & ((samples.kind == kind) | (samples.kind == -1))]
        odd = scores[samples.odd & (samples.kind == kind)]
        found.append(auroc(*(each.tensor_split(2)[half] for each in (normal, odd))))
    return found


def chosen(scores: dict[str, Tensor], samples: Samples) -> tuple[str, list[float]]:
    """The score that separates the first half best, and its AUROC on the second."""
    best = max(scores, key=lambda how: mean(separation(scores[how], samples, 0)))
    return best, separation(scores[best], samples, 1)


def train(demo: Demo, seed: int, options: argparse.Namespace) -> JEPAModule:
    seed_everything(seed, workers=True, verbose=False)
    module = demo.build()
    trainer = Trainer(
        max_steps=demo.steps if options.steps is None else options.steps,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision=options.precision,
    )
    trainer.fit(module, demo.data(batch_size=demo.batch_size, num_workers=options.num_workers))
    trainer.save_checkpoint(options.out / f"trained_{seed}.ckpt")
    return module.eval()


def table(rows: dict[str, list[tuple[str, list[float]]]], names: tuple[str, ...]) -> str:
    """AUROC of each detector, mean and standard deviation over seeds, in Markdown."""
    lines = ["| AUROC | score | " + " | ".join(names) + " |", "| --- |" + " --- |" * (len(names) + 1)]
    for name, runs in rows.items():
        cells = [
            f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
            for values in zip(*(found for _, found in runs), strict=True)
        ]
        lines.append(f"| {name} | {', '.join(dict.fromkeys(how for how, _ in runs))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def run_demo(options: argparse.Namespace, given: JEPAModule | None) -> tuple[JEPAModule, list[tuple[Any, ...]], str]:
    """Trains a model for each seed, unless one is given, and compares what finds odd samples.

    Returns:
        The last model; name, score, view and map of each sample; and the table.
    """
    demo = DEMOS[options.demo]
    rows: dict[str, list[tuple[str, list[float]]]] = {"energy": [], "energy, random weights": []}
    for seed in options.seeds if given is None else options.seeds[:1]:
        module = given or train(demo, seed, options)
        seed_everything(seed, verbose=False)
        untrained = type(module)(**{name: value for name, value in module.hparams.items() if name[0] != "_"}).eval()
        samples = demo.samples(module, options.samples)
        for name, each in (("energy", module), ("energy, random weights", untrained)):
            energies = demo.energies(each, samples.views)
            rows[name].append(chosen(all_scores(energies), samples))
            print(f"seed {seed}, {name}: {rows[name][-1]}", flush=True)
    rows |= {name: [chosen(scores, samples)] for name, scores in pixel_scores(samples).items()}
    energies = demo.energies(module, samples.views)
    best = rows["energy"][-1][0]
    scores = all_scores(energies)[best]
    energies = relative(energies) if best.startswith("relative") else energies
    maps = energies if options.demo == "shapes" else [None] * len(energies)
    labels = zip(samples.odd.tolist(), samples.kind.tolist(), strict=True)
    names = [f"{i}, {samples.names[kind] if odd else 'normal'}" for i, (odd, kind) in enumerate(labels)]
    return module, list(zip(names, scores.tolist(), samples.views, maps, strict=True)), table(rows, samples.names)
