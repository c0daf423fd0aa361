"""Trains V-JEPA on clips that obey the laws of a small world, and asks whether broken laws surprise it.

python examples/intuitive_physics.py --out physics
python examples/intuitive_physics.py --seeds 0 --steps 20 --pairs 20 --out physics

Of each pair of clips, equal up to the moment in which one of them breaks a law, that one should have the higher energy.
It is compared with an untrained model, and with how much pixels change from frame to frame. Writes a Markdown table of
how often it has, and a plot of the energy over time.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import matplotlib
import torch
from lightning.pytorch import Trainer, seed_everything
from torch import Tensor

from jepa_lightning import VJEPA
from jepa_lightning.data import PhysicsVideoDataModule, ViolationDataset, ViolationPair
from jepa_lightning.evaluation import surprise

matplotlib.use("Agg")
from matplotlib import pyplot

NUM_FRAMES, WINDOW, CONTEXT, IMAGE_SIZE = 24, 16, 8, 48
Curves = dict[str, list[tuple[Tensor, Tensor]]]  # by violation: energies of the possible and the impossible clip


def build_model() -> VJEPA:
    return VJEPA(
        "vit_tiny", image_size=IMAGE_SIZE, patch_size=8, num_frames=WINDOW, frame_step=1, depth=4, predictor_depth=2,
        predictor_dim=96, causal_frames=(2, 6), target_layers=4, content=1.0, crop_scale=(0.8, 1.0), lr=1e-3,
        start_lr=1e-5, final_weight_decay=0.04, ema=(0.97, 1.0),
    )  # fmt: skip


def train(seed: int, options: argparse.Namespace) -> VJEPA:
    seed_everything(seed, workers=True, verbose=False)
    model = build_model()
    data = PhysicsVideoDataModule(
        num_frames=NUM_FRAMES, image_size=IMAGE_SIZE, batch_size=options.batch_size, num_workers=options.num_workers
    )
    trainer = Trainer(
        max_steps=options.steps,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision=options.precision,
    )
    trainer.fit(model, datamodule=data)
    return model


def model_curves(model: VJEPA, pairs: list[ViolationPair]) -> Curves:
    """Energies over sliding windows, ``[S]`` each."""
    view = model.pipeline().eval_transform
    # the sampler would cut a window out of a clip: here all frames are shown
    steps = view.steps  # type: ignore[attr-defined]
    curves: Curves = defaultdict(list)
    for pair in pairs:
        both = torch.stack([steps(clip).transpose(0, 1) for clip in (pair.possible, pair.impossible)])
        possible, impossible = surprise(model, both, CONTEXT)
        curves[pair.violation].append((possible, impossible))
    return curves


def pixel_curves(pairs: list[ViolationPair]) -> Curves:
    """How much pixels change from each frame to the next."""
    curves: Curves = defaultdict(list)
    for pair in pairs:
        changes = [clip.float().diff(dim=0).abs().mean(dim=(1, 2, 3)) for clip in (pair.possible, pair.impossible)]
        curves[pair.violation].append((changes[0], changes[1]))
    return curves


def pairwise_accuracy(curves: Curves) -> dict[str, float]:
    """Share of the pairs, in %, whose impossible clip has the higher greatest energy; ties count half."""
    found = {}
    for violation, pairs in curves.items():
        wins = [float(bad.max() > good.max()) + 0.5 * float(bad.max() == good.max()) for good, bad in pairs]
        found[violation] = 100 * mean(wins)
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
        for number, name in enumerate(("possible", "impossible")):
            energy = torch.stack([pair[number] for pair in pairs])
            # a window is placed where what it predicts begins
            axis.plot(range(CONTEXT, CONTEXT + energy.shape[1]), energy.mean(dim=0), label=name)
        axis.set_title(violation)
        axis.set_xlabel("first predicted frame")
    axes[0].set_ylabel("energy")
    axes[0].legend()
    figure.savefig(path, dpi=120)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--precision", default="32-true", help="of the Trainer, such as bf16-mixed")
    parser.add_argument("--out", type=Path, default=Path("physics"), help="writes OUT.md and OUT.png")
    options = parser.parse_args(args)
    dataset = ViolationDataset(options.pairs, num_frames=NUM_FRAMES, image_size=IMAGE_SIZE)
    pairs = [dataset[i] for i in range(len(dataset))]
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in options.seeds:
        model = train(seed, options)
        curves = model_curves(model, pairs)
        rows["V-JEPA"].append(pairwise_accuracy(curves))
        seed_everything(seed, verbose=False)
        rows["untrained"].append(pairwise_accuracy(model_curves(build_model(), pairs)))
        print(f"seed {seed}: {', '.join(f'{name} {value:.1f}' for name, value in rows['V-JEPA'][-1].items())}")
    rows["pixel changes"].append(pairwise_accuracy(pixel_curves(pairs)))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".md").write_text(table(rows) + "\n")
    plot(curves, options.out.with_suffix(".png"))
    print(f"\n{table(rows)}\n\nwritten to {options.out.with_suffix('.md')} and {options.out.with_suffix('.png')}")


if __name__ == "__main__":
    main()
