"""Trains V-JEPA on clips that obey the laws of a small world, and asks whether broken laws surprise it.

python examples/intuitive_physics.py --out physics
python examples/intuitive_physics.py --seeds 0 --steps 20 --pairs 20 --out physics

Of two clips, equal up to the moment in which one of them breaks a law, that one should have the higher energy in the
windows that see the past and predict what comes then. Pairs come in twins, whose impossible clips end as the possible
one of the other does, and are judged together: a model that always expects an empty scene is right about one of them
for no good reason (IntPhys, arXiv 1803.07616). How often a pair is right on its own is there too. It is compared with
an untrained model, and with how much pixels change from frame to frame. Writes Markdown tables, and a plot of the
energy over time.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

import matplotlib
import torch
from lightning.pytorch import Trainer, seed_everything
from new_files import path_of, refuse_existing
from run_options import study_parser
from torch import Tensor
from torch.utils.data import Dataset

from jepa_lightning import VJEPA
from jepa_lightning.data import JEPADataModule, ViolationDataset, ViolationPair
from jepa_lightning.evaluation import surprise

matplotlib.use("Agg")
from matplotlib import pyplot

# of every other frame of the clips, a window has 8, and 4 of them are seen
NUM_FRAMES, STEP, WINDOW, CONTEXT, IMAGE_SIZE = 24, 2, 8, 4, 48


class Curve(NamedTuple):
    """Energies ``[S]`` of a pair's clips in sliding windows, and the first of their frames that differs."""

    possible: Tensor
    impossible: Tensor
    onset: int

    @property
    def margin(self) -> float:
        """How much higher the impossible clip's energy is where what is seen is equal, and what is predicted not."""
        starts = [i for i in range(len(self.possible)) if i + CONTEXT <= self.onset < i + WINDOW]
        return float((self.impossible - self.possible)[starts].sum())


Curves = dict[str, list[Curve]]  # by violation


class PossibleClips(Dataset[tuple[Tensor, None, None]]):
    """The possible clips of other pairs than those of the test."""

    def __init__(self, size: int, seed: int) -> None:
        self.pairs = ViolationDataset(size, NUM_FRAMES, IMAGE_SIZE, seed)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, None, None]:
        return self.pairs.possible(index), None, None


class PossiblePhysicsDataModule(JEPADataModule):
    """Clips in which no law is broken."""

    num_classes = 0

    def build_datasets(self) -> tuple[PossibleClips, PossibleClips]:
        """Clips for training, and others."""
        return PossibleClips(8192, seed=1), PossibleClips(256, seed=2)


def build_model() -> VJEPA:
    return VJEPA(
        "vit_tiny", image_size=IMAGE_SIZE, patch_size=12, num_frames=WINDOW, frame_step=STEP, depth=4,
        num_blocks=(), spatial_scale=(), causal_frames=(CONTEXT // 2, CONTEXT // 2), predictor_depth=3,
        predictor_dim=192, target_layers=4, distance="l2", content=0.3, covariance=0.1, crop_scale=(1.0, 1.0), lr=1e-3,
        start_lr=1e-5, warmup=0.1, schedule_stretch=1.0, final_weight_decay=0.04, ema=(0.99, 1.0), legacy_init=False,
    )  # fmt: skip


def train(seed: int, options: argparse.Namespace) -> VJEPA:
    seed_everything(seed, workers=True, verbose=False)
    model = build_model()
    trainer = Trainer(
        max_steps=options.steps,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision=options.precision,
    )
    trainer.fit(model, PossiblePhysicsDataModule(options.batch_size, options.num_workers))
    return model


def model_curves(model: VJEPA, pairs: list[ViolationPair]) -> Curves:
    """Energies of V-JEPA."""
    (shown,) = model.pipeline().eval_transform.crops  # type: ignore[attr-defined]
    curves: Curves = defaultdict(list)
    for some in (pairs[i : i + 25] for i in range(0, len(pairs), 25)):
        clips = [shown(clip[::STEP]).transpose(0, 1) for pair in some for clip in (pair.possible, pair.impossible)]
        energies = surprise(model, torch.stack(clips), CONTEXT)
        for pair, possible, impossible in zip(some, energies[::2], energies[1::2], strict=True):
            curves[pair.violation].append(Curve(possible, impossible, -(-pair.onset // STEP)))
    return curves


def pixel_curves(pairs: list[ViolationPair]) -> Curves:
    """How much pixels change from frame to frame, in the part of each window that V-JEPA predicts."""
    curves: Curves = defaultdict(list)
    for pair in pairs:
        changes = [
            clip[::STEP].float().diff(dim=0).abs().mean(dim=(1, 2, 3)) for clip in (pair.possible, pair.impossible)
        ]
        # the change to frame i stands at i - 1
        sums = [change[CONTEXT - 1 :].unfold(0, WINDOW - CONTEXT, 1).mean(dim=1) for change in changes]
        curves[pair.violation].append(Curve(*sums, -(-pair.onset // STEP)))
    return curves


def accuracy(curves: Curves, together: int) -> dict[str, float]:
    """Share, in %, of groups of pairs whose impossible clips have the higher energy; ties count half."""
    found = {}
    for violation, each in curves.items():
        margins = [curve.margin for curve in each]
        number = 1 if violation == "upward" else together  # these have no twins
        sums = [sum(margins[i : i + number]) for i in range(0, len(margins), number)]
        found[violation] = 100 * mean(0.5 if abs(total) < 1e-6 else float(total > 0) for total in sums)
    return found


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """Mean and standard deviation over seeds, in Markdown."""
    violations = list(next(iter(rows.values()))[0])
    lines = ["| | " + " | ".join(violations) + " |", "| --- |" + " --- |" * len(violations)]
    for name, runs in rows.items():
        cells = []
        for violation in violations:
            values = [run[violation] for run in runs]
            spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{mean(values):.1f}{spread}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(curves: Curves, path: Path) -> None:
    """Mean energy over time of possible and impossible clips, for each violation."""
    figure, axes = pyplot.subplots(1, len(curves), figsize=(3 * len(curves), 3), layout="constrained", sharey=True)
    for axis, (violation, pairs) in zip(axes, curves.items(), strict=True):
        for name in ("possible", "impossible"):
            energy = torch.stack([getattr(pair, name) for pair in pairs])
            # a window is placed where what it predicts begins
            axis.plot(range(CONTEXT * STEP, (CONTEXT + energy.shape[1]) * STEP, STEP), energy.mean(dim=0), label=name)
        axis.set_title(violation)
        axis.set_xlabel("first predicted frame")
    axes[0].set_ylabel("energy")
    axes[0].legend()
    figure.savefig(path, dpi=120)


def parse(args: list[str] | None) -> argparse.Namespace:
    parser = study_parser(__doc__, steps=2000, batch_size=32, out="physics", writes="OUT.md and OUT.png")
    parser.add_argument(
        "--pairs", type=int, default=500, help="possible and impossible sequences of each kind; default: %(default)s"
    )
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> None:
    options = parse(args)
    refuse_existing(path_of(options.out, ".md"), path_of(options.out, ".png"))
    dataset = ViolationDataset(options.pairs, NUM_FRAMES, IMAGE_SIZE)
    pairs = [dataset[i] for i in range(len(dataset))]
    found: dict[str, list[Curves]] = {"V-JEPA": [], "untrained": [], "pixel changes": [pixel_curves(pairs)]}
    for seed in options.seeds:
        found["V-JEPA"].append(model_curves(train(seed, options), pairs))
        seed_everything(seed, verbose=False)
        found["untrained"].append(model_curves(build_model(), pairs))
        scores = accuracy(found["V-JEPA"][-1], together=2)
        print(f"seed {seed}: {', '.join(f'{name} {value:.1f}' for name, value in scores.items())}")
    tables = [
        f"{title}\n\n{table({name: [accuracy(run, together) for run in runs] for name, runs in found.items()})}\n"
        for title, together in (("Twins together, % right:", 2), ("Each pair on its own, % right:", 1))
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    path_of(options.out, ".md").write_text("\n".join(tables))
    plot(found["V-JEPA"][-1], path_of(options.out, ".png"))
    print("\n" + "\n".join(tables) + f"\nwritten to {path_of(options.out, '.md')} and {path_of(options.out, '.png')}")


if __name__ == "__main__":
    main()
