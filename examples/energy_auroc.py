# B batch
"""Trains every method alike, and tells whether its energy separates true pairs from foreign ones, before and after.

python examples/energy_auroc.py --out energies.csv
python examples/energy_auroc.py --methods IJEPA SimCLR --seeds 0 --steps 20 --out energies.csv

True pairs are context and target of one image that was not trained on, foreign ones those of two images of a batch. The
AUROC is the probability that a foreign pair has the higher energy, .5 where energies tell nothing. Methods with masks
see the deterministic view, and the targets of another image at the same places; the others two augmented views, of
DINO and LeJEPA the global ones. Encoder, data, optimizer and options are those of compare_methods.py; V-JEPA is that of
configs/vjepa/quickstart.yaml, on clips. Writes a CSV of all runs and prints a Markdown table.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple

import torch
import yaml
from compare_methods import ENCODER, OPTIONS, SIZES, build_data
from lightning.pytorch import Trainer, seed_everything
from new_files import refuse_existing
from run_options import study_parser
from torch.utils.data import DataLoader

import jepa_lightning
from jepa_lightning import JEPAModule
from jepa_lightning.data import JEPADataModule, PhysicsVideoDataModule
from jepa_lightning.energy import auroc, pairwise_energy, true_and_foreign
from jepa_lightning.features import eval_mode

VIDEO = Path(__file__).parents[1] / "configs" / "vjepa" / "quickstart.yaml"
METHODS = [*OPTIONS, "VJEPA"]
SMALL = {"width": 96, "heads": 3, "depth": 2}


class Run(NamedTuple):
    """One line of the CSV."""

    method: str
    seed: int
    steps: int
    before: float
    after: float
    gap_before: float
    gap_after: float


def build(name: str, small: bool) -> JEPAModule:
    if name == "VJEPA":
        options = yaml.safe_load(VIDEO.read_text())["model"]["init_args"]
    else:
        image_size, patch_size = SIZES["shapes"]
        options = {**ENCODER, **OPTIONS[name], "image_size": image_size, "patch_size": 8 if small else patch_size}
    if small:
        options |= SMALL | ({"target_layers": SMALL["depth"]} if "target_layers" in options else {})
        options |= {"min_keep": 4} if name == "IJEPA" else {}
    method: Any = getattr(jepa_lightning, name)
    module: JEPAModule = method(**options)
    return module


def build_clips_or_images(name: str, batch_size: int, num_workers: int) -> JEPADataModule:
    if name == "VJEPA":
        return PhysicsVideoDataModule(num_frames=8, batch_size=batch_size, num_workers=num_workers)
    return build_data("shapes", batch_size, num_workers)


@torch.no_grad()
def separation(module: JEPAModule, data: JEPADataModule, number: int) -> tuple[float, float]:
    """AUROC over pairs within batches of 64, and how much higher foreign energies are, as a share of their mean.

    Args:
        module: trained or not.
        data: of its fit; its validation samples are used.
        number: of samples.
    """
    torch.manual_seed(0)  # the same masks and crops before and after
    pipeline, samples = module.pipeline(), data.build_datasets()[1]
    shown = pipeline.eval_transform if pipeline.collate.masks else pipeline.transform
    views = [(shown(samples[i][0]), -1) for i in range(number)]
    trues, foreigns = [], []
    with eval_mode(module):
        for batch in DataLoader(views, 64, collate_fn=pipeline.collate):
            energies = pairwise_energy(module, batch._replace(views=batch.views[:2]))
            true, foreign = true_and_foreign(energies)
            trues.append(true)
            foreigns.append(foreign)
    true, foreign = torch.cat(trues), torch.cat(foreigns)
    return auroc(true, foreign), float(1 - true.mean() / foreign.mean())


def run(name: str, seed: int, options: argparse.Namespace) -> Run:
    seed_everything(seed, workers=True, verbose=False)
    module = build(name, options.small)
    data = build_clips_or_images(name, options.batch_size, options.num_workers)
    before = separation(module, data, options.samples)
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
    trainer.fit(module, datamodule=data)
    after = separation(module, data, options.samples)
    return Run(name, seed, options.steps, before[0], after[0], before[1], after[1])


def table(runs: list[Run]) -> str:
    """Mean and standard deviation over seeds, in Markdown."""
    rows = defaultdict(list)
    for each in runs:
        rows[each.method].append(each)
    lines = [
        "| method | AUROC, random weights | trained | energy gap, random weights | trained |",
        "| --- |" + " --- |" * 4,
    ]
    for name, found in rows.items():
        columns = zip(*((one.before, one.after, one.gap_before, one.gap_after) for one in found), strict=True)
        lines.append(f"| {name} | " + " | ".join(_cell(column) for column in columns) + " |")
    return "\n".join(lines)


def _cell(values: tuple[float, ...]) -> str:
    return f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


def main(args: list[str] | None = None) -> None:
    parser = study_parser(__doc__, steps=200, out="energies.csv", writes="a new CSV file")
    parser.add_argument(
        "--methods", nargs="+", choices=METHODS, default=METHODS, help="which to train; default: %(default)s"
    )
    parser.add_argument("--small", action="store_true", help="a narrow encoder and large patches, a tenth of the time")
    parser.add_argument("--samples", type=int, default=256, help="validation samples, in batches of 64")
    options = parser.parse_args(args)
    refuse_existing(options.out)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    with options.out.open("x", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Run._fields)
        for seed in options.seeds:
            for name in options.methods:
                runs.append(run(name, seed, options))
                writer.writerow([*runs[-1][:3], *(f"{value:.5f}" for value in runs[-1][3:])])
                file.flush()  # what is there is kept if the rest is interrupted
                print(
                    f"{name}, seed {seed}: AUROC {runs[-1].before:.3f} before, {runs[-1].after:.3f} after", flush=True
                )
    print(f"\n{table(runs)}\n\nwritten to {options.out}")


if __name__ == "__main__":
    main()
