# B batch
"""Contrast as the shaping of an energy: I-JEPA and InfoNCE on one encoder, one energy, the same data and steps.

python examples/energy_landscapes.py --out landscapes
python examples/energy_landscapes.py --quick --out landscapes

Both models are the same I-JEPA with the same weights at the start, and both have its energy, the distance between
predicted and target tokens. I-JEPA pulls down the energy of true pairs alone, and keeps from collapse by its target and
by the content of its tokens. InfoNCE also pushes up that of the other images of the batch: its loss is
``info_nce(pairwise_energy(module, batch))``. Then energies of pairs of handwritten digits that neither was trained on
are compared: context and target of the same image, of two images of a class, and of two classes. Writes OUT.png with
the distributions, OUT.csv with all runs, and prints a Markdown table with the AUROC of true against foreign pairs.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib
import torch
from lightning.pytorch import Trainer, seed_everything
from new_files import path_of, refuse_existing
from run_options import study_parser
from torch import Tensor

from jepa_lightning import IJEPA, JEPAModule
from jepa_lightning.data import DigitsDataModule
from jepa_lightning.energy import auroc, pairwise_energy
from jepa_lightning.features import eval_mode
from jepa_lightning.losses import info_nce
from jepa_lightning.types import Batch, StepOutput

matplotlib.use("Agg")
from matplotlib import pyplot

KINDS = ("same image", "same class", "foreign")
OPTIONS: dict[str, Any] = {
    "encoder": "vit_tiny", "width": 96, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 4, "predictor_depth": 2,
    "predictor_dim": 96, "num_targets": 1, "target_layers": 2, "crop_scale": (0.8, 1.0), "lr": 1e-3, "start_lr": 1e-5,
    "warmup": 0.1, "final_weight_decay": 0.04, "ema": (0.97, 1.0),
}  # fmt: skip
Energies = dict[str, Tensor]  # by kind of pair


class ContrastiveIJEPA(IJEPA):
    """I-JEPA whose loss contrasts the energies of all pairs of the batch."""

    temperature = 0.05

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """InfoNCE of the energies."""
        energies = pairwise_energy(self, batch)
        true = energies.detach().diagonal().mean()
        return StepOutput(info_nce(energies, temperature=self.temperature), None, {"prediction_loss": true})


def build_models(temperature: float, content: float) -> dict[str, IJEPA]:
    """Untrained ones by name; equal seeds give equal weights."""
    contrastive = ContrastiveIJEPA(**OPTIONS)
    contrastive.temperature = temperature
    return {"I-JEPA": IJEPA(**OPTIONS, content=content), "InfoNCE": contrastive}


def train(module: JEPAModule, seed: int, options: argparse.Namespace) -> None:
    seed_everything(seed, workers=True, verbose=False)
    trainer = Trainer(
        max_steps=options.steps,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision=options.precision,
    )
    trainer.fit(module, datamodule=DigitsDataModule(batch_size=options.batch_size, num_workers=options.num_workers))


@torch.no_grad()
def landscape(module: JEPAModule, number: int) -> Energies:
    """Energies of all pairs of a number of validation images, by kind of pair."""
    torch.manual_seed(0)  # the same masks for all models
    pipeline, images = module.pipeline(), DigitsDataModule().build_datasets()[1]
    batch = pipeline.collate([(pipeline.eval_transform(images[i][0]), images[i][1]) for i in range(number)])
    with eval_mode(module):
        energies = pairwise_energy(module, batch)
    same_class = batch.labels[:, None] == batch.labels
    same_image = torch.eye(number, dtype=torch.bool)
    kinds = (same_image, same_class & ~same_image, ~same_class)
    return {name: energies[kind] for name, kind in zip(KINDS, kinds, strict=True)}


def measures(energies: Energies) -> dict[str, float]:
    """What the table has of a landscape: mean energies as shares of the foreign ones, and AUROC against these."""
    image, label, foreign = (energies[kind] for kind in KINDS)
    return {
        "energy of foreign pairs": float(foreign.mean()),
        "same image, share": float(image.mean() / foreign.mean()),
        "same class, share": float(label.mean() / foreign.mean()),
        "AUROC same image": auroc(image, foreign),
        "AUROC same class": auroc(label, foreign),
    }


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    """Mean and standard deviation over seeds, in Markdown."""
    columns = list(next(iter(rows.values()))[0])
    lines = ["| | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for name, runs in rows.items():
        cells = []
        for column in columns:
            values = [run[column] for run in runs]
            cells.append(f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else ""))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(landscapes: dict[str, Energies], path: Path) -> None:
    """The distributions of the energies of each kind of pair, a panel for each model."""
    figure, axes = pyplot.subplots(1, len(landscapes), figsize=(4 * len(landscapes), 3.2), layout="constrained")
    for axis, (name, energies) in zip(axes, landscapes.items(), strict=True):
        everything = torch.cat(list(energies.values()))
        low, high = everything.quantile(torch.tensor([0.001, 0.999])).tolist()
        for kind, color in zip(KINDS, ("tab:green", "tab:orange", "tab:gray"), strict=True):
            axis.hist(energies[kind].numpy(), 60, (low, high), density=True, histtype="step", color=color, label=kind)
        axis.set(title=name, xlabel="energy", yticks=[])
    axes[0].set_ylabel("share of the pairs")
    axes[0].legend(fontsize="small")
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def parse(args: list[str] | None) -> argparse.Namespace:
    parser = study_parser(__doc__, steps=200, batch_size=32, out="landscapes", writes="OUT.png and OUT.csv")
    parser.add_argument("--quick", action="store_true", help="one seed and 20 steps, to see that it runs")
    parser.add_argument("--images", type=int, default=256, help="validation images, all of whose pairs are measured")
    parser.add_argument("--temperature", type=float, default=0.05, help="of InfoNCE, in units of the energy")
    parser.add_argument("--content", type=float, default=1.0, help="weight of I-JEPA's terms on the content of tokens")
    options = parser.parse_args(args)
    if options.quick:
        options.seeds, options.steps, options.images = (
            options.seeds[:1],
            min(20, options.steps),
            min(64, options.images),
        )
    return options


def main(args: list[str] | None = None) -> None:
    options = parse(args)
    refuse_existing(path_of(options.out, ".png"), path_of(options.out, ".csv"))
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in options.seeds:
        landscapes: dict[str, Energies] = {}
        for name in ("I-JEPA", "InfoNCE"):
            seed_everything(seed, verbose=False)
            module = build_models(options.temperature, options.content)[name]
            landscapes.setdefault("random weights", landscape(module, options.images))
            train(module, seed, options)
            landscapes[name] = landscape(module, options.images)
        for name, energies in landscapes.items():
            rows[name].append(measures(energies))
            print(f"seed {seed}, {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in rows[name][-1].items()))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    plot(landscapes, path_of(options.out, ".png"))
    with path_of(options.out, ".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "seed", *next(iter(rows.values()))[0]])
        for name, runs in rows.items():
            writer.writerows([name, seed, *run.values()] for seed, run in zip(options.seeds, runs, strict=True))
    print(f"\n{table(rows)}\n\nwritten to {path_of(options.out, '.png')} and {path_of(options.out, '.csv')}")


if __name__ == "__main__":
    main()
