"""Trains every method alike, and tells what each one keeps of an image: a Markdown table and a plot.

python examples/compare_methods.py --out comparison
python examples/compare_methods.py --methods IJEPA SimCLR --seeds 0 --steps 100 --out comparison
python examples/compare_methods.py --ablate --seeds 0 1 2 --steps 100 --precision bf16-mixed --out ablations

All have the same encoder, data, optimizer, number of steps and probes; views and heads are each method's own. With
--dense the table has segmentation and depth too, by linear heads on the frozen tokens, on scenes. With
--ablate a smaller encoder is trained by each method as it is, and without each part that is said to keep it from
collapse, without its augmentations, and without its negatives. OUT.csv keeps finished runs, and a study that was killed
continues there.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean, stdev

import matplotlib
from ablation_study import ablate
from kept_rows import KeptRows
from lightning.pytorch import seed_everything
from new_files import path_of
from run_options import study_parser
from small_dense import dense
from small_methods import ENCODER, OPTIONS, SIZES, build_data, build_method
from small_runs import Row, linear, train

matplotlib.use("Agg")
from matplotlib import pyplot

BASELINES = ("raw pixels", "random init")  # as ProbeReport names them
SETTINGS = ("data", "steps", "batch_size", "precision", "dense")  # that all rows share


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


def run(name: str, seed: int, kept: KeptRows, options: argparse.Namespace) -> None:
    """Trains a method, and keeps what is measured."""
    seed_everything(seed, workers=True, verbose=False)
    module = build_method(name, *SIZES[options.data])
    data = build_data(options.data, options.batch_size, options.num_workers)
    first = not kept.has(BASELINES[-1], seed)  # the same encoder and data for all, so once a seed
    found: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, f"{name}.ckpt") if options.dense else None
        row, accuracy = train(module, data, options.steps, options.precision, checkpoint)
        if checkpoint:
            found = dense(checkpoint, Path(folder, "evaluated"), seed, baselines=first)
    for baseline in BASELINES if first else ():
        kept.add(baseline, seed, [{**linear(accuracy[baseline]), **found.get(baseline, {})}])
    row |= found.get("trained", {})
    kept.add(name, seed, [{**row}])
    print(f"{name}, seed {seed}: {', '.join(f'{column} {value:.3g}' for column, value in row.items())}")


def rows_of(kept: KeptRows) -> dict[str, list[Row]]:
    """What was measured of each method, a row for each seed."""
    others = {"run", "seed", *kept.settings}
    return {
        name: [{key: float(row[key]) for key in row if key not in others and row[key]} for (row,) in kept.of(name)]
        for name in dict.fromkeys(name for name, _ in kept.runs)
    }


def main(args: list[str] | None = None) -> None:
    parser = study_parser(__doc__, steps=200, out="comparison", writes="OUT.csv, OUT.md and OUT.png")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=list(OPTIONS),
        default=list(OPTIONS),
        help="which to train; default: %(default)s",
    )
    parser.add_argument("--data", choices=list(SIZES), default="shapes", help="built-in images; default: %(default)s")
    parser.add_argument("--dense", action="store_true", help="segmentation and depth too, of scenes")
    parser.add_argument("--ablate", action="store_true", help="what each method needs, on scenes, in batches of 32")
    options = parser.parse_args(args)
    if options.dense and (options.ablate or options.data != "shapes"):
        parser.error("--dense is for the comparison on --data shapes")
    if options.ablate:
        ablate(options, ENCODER, OPTIONS)
        return
    settings = {name: getattr(options, name) for name in SETTINGS}
    kept = KeptRows(path_of(options.out, ".csv"), "comparison", settings, beside=(".md", ".png"))
    for seed in options.seeds:
        for name in options.methods:
            if not kept.has(name, seed):
                run(name, seed, kept, options)
            # after every run: what is there is kept if the rest is interrupted
            path_of(options.out, ".md").write_text(table(rows_of(kept)) + "\n")
    plot(rows_of(kept), path_of(options.out, ".png"))
    print(f"\n{table(rows_of(kept))}\n\nwritten to {kept.path}, .md and .png")


if __name__ == "__main__":
    main()
