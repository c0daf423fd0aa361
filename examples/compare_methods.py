"""Trains every method alike, and tells what each one keeps of an image: a Markdown table and a plot.

python examples/compare_methods.py --out comparison
python examples/compare_methods.py --methods IJEPA SimCLR --seeds 0 --steps 100 --out comparison
python examples/compare_methods.py --ablate --seeds 0 1 2 --steps 100 --precision bf16-mixed --out ablations

All have the same encoder, data, optimizer, number of steps and probes; views and heads are each method's own. With
--ablate a smaller encoder is trained by each method as it is, and without each part that is said to keep it from
collapse, without its augmentations, and without its negatives; OUT.csv keeps finished runs, and a study that was killed
continues there.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib
from ablation_study import ablate
from lightning.pytorch import Callback, Trainer, seed_everything
from small_methods import ENCODER, OPTIONS, SIZES, build_data, build_method

from jepa_lightning.callbacks import CollapseMonitor, OnlineKNN, ProbeReport

matplotlib.use("Agg")
from matplotlib import pyplot

Row = dict[str, float]


class Clock(Callback):
    """Seconds in training steps, without callbacks that come after it, and without validation."""

    def __init__(self) -> None:
        self.seconds, self._began = 0.0, 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        """Stops it."""
        self.seconds += time.perf_counter() - self._began


def train(name: str, seed: int, options: argparse.Namespace) -> tuple[Row, dict[str, dict[str, float]]]:
    """One run: its measures, and the linear probe of raw pixels and random weights beside those of the trained one."""
    seed_everything(seed, workers=True, verbose=False)
    module = build_method(name, *SIZES[options.data])
    report, knn, clock = ProbeReport(), OnlineKNN(), Clock()
    monitor = CollapseMonitor(every_n_steps=max(1, min(50, options.steps // 4)))
    trainer = Trainer(
        max_steps=options.steps,
        val_check_interval=options.steps,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[clock, report, knn, monitor],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision=options.precision,
    )
    trainer.fit(module, datamodule=build_data(options.data, options.batch_size, options.num_workers))
    row = {f"linear {label or 'class'}": 100 * value for label, value in report.accuracy["trained"].items()}
    for label, value in knn.best.items():
        if label == "val/knn" and len(knn.best) > 1:
            continue  # the first label, which is there under its own name
        row[f"kNN {label.removeprefix('val/knn').removeprefix('_') or 'class'}"] = 100 * value
    for column, metric in (("RankMe", "collapse/rank"), ("energy gap", "collapse/energy_gap")):
        if metric in trainer.callback_metrics:  # the monitor measures once its memory is full
            row[column] = float(trainer.callback_metrics[metric])
    row["s/step"] = clock.seconds / options.steps
    return row, report.accuracy


def table(rows: dict[str, list[Row]]) -> str:
    """Mean and standard deviation over seeds, in Markdown; a column for each measure."""
    columns = list(dict.fromkeys(column for runs in rows.values() for run in runs for column in run))
    lines = ["| method | " + " | ".join(columns) + " |", "| --- |" + " --- |" * len(columns)]
    for name, runs in rows.items():
        cells = [_cell([run[column] for run in runs if column in run], column) for column in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(rows: dict[str, list[Row]], path: Path) -> None:
    """A group of bars for each label: the linear probe of every method."""
    labels = [column for column in next(iter(rows.values()))[0] if column.startswith("linear ")]
    figure, axes = pyplot.subplots(figsize=(2 + 2.2 * len(labels), 4.5), layout="constrained")
    width = 0.85 / len(rows)
    for i, (name, runs) in enumerate(rows.items()):
        values = [[run[label] for run in runs] for label in labels]
        places = [at + (i - (len(rows) - 1) / 2) * width for at in range(len(labels))]
        spread = [stdev(value) if len(value) > 1 else 0.0 for value in values]
        color = pyplot.get_cmap("tab20")(i)
        axes.bar(places, [mean(value) for value in values], width, yerr=spread, label=name, color=color)
    axes.set_xticks(range(len(labels)), [label.removeprefix("linear ") for label in labels])
    axes.set_ylabel("linear probe, %")
    axes.set_ylim(0, 100)
    axes.legend(ncols=4, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.08))
    figure.savefig(path, dpi=120)


def _cell(values: list[float], column: str) -> str:
    if not values:
        return ""
    digits = {"s/step": 3, "energy gap": 2}.get(column, 1)
    spread = f" ± {stdev(values):.{digits}f}" if len(values) > 1 and column != "s/step" else ""
    return f"{mean(values):.{digits}f}{spread}"


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=list(OPTIONS), default=list(OPTIONS))
    parser.add_argument("--data", choices=list(SIZES), default="shapes")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--precision", default="32-true", help="of the Trainer, such as bf16-mixed")
    parser.add_argument("--out", type=Path, default=Path("comparison"), help="writes OUT.md and OUT.png")
    parser.add_argument("--ablate", action="store_true", help="what each method needs, on scenes, in batches of 32")
    options = parser.parse_args(args)
    if options.ablate:
        ablate(options, ENCODER, OPTIONS)
        return
    rows: dict[str, list[Row]] = defaultdict(list)
    for seed in options.seeds:
        for name in options.methods:
            row, accuracy = train(name, seed, options)
            if name == options.methods[0]:  # the same encoder and data for all, so once a seed
                for kind in ("raw pixels", "random init"):
                    rows[kind].append({f"linear {label or 'class'}": 100 * v for label, v in accuracy[kind].items()})
            rows[name].append(row)
            print(f"{name}, seed {seed}: {', '.join(f'{column} {value:.3g}' for column, value in row.items())}")
            options.out.parent.mkdir(parents=True, exist_ok=True)
            # after every run: what is there is kept if the rest is interrupted
            options.out.with_suffix(".md").write_text(table(rows) + "\n")
    plot(rows, options.out.with_suffix(".png"))
    print(f"\n{table(rows)}\n\nwritten to {options.out.with_suffix('.md')} and {options.out.with_suffix('.png')}")


if __name__ == "__main__":
    main()
