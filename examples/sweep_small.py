"""What helps on a few thousand small images: many short runs, chosen on one half of the data and reported on the other.

python examples/sweep_small.py --out sweep
python examples/sweep_small.py --methods IJEPA SimCLR --seeds 0 --steps 200 --out sweep

Every direction of `small_directions.py` is trained alone on the half to choose on (half of the digits, and scenes of
one style). Then each method as it is, and its direction with the highest mean accuracy, are trained on the other half
(the other digits, and scenes of the other styles), whose numbers no choice has seen. OUT.csv has a row for each
finished run, with the linear probe of every label beside that of raw pixels and of random weights; a sweep that was
killed continues there. OUT.md has a table for each half.
"""

import argparse
import time
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch
from kept_rows import KeptRows
from lightning.pytorch import seed_everything
from new_files import path_of
from run_options import study_parser
from small_directions import AS_IT_IS, DIRECTIONS, Direction, build
from small_halves import HALVES
from small_methods import OPTIONS, SIZES
from small_runs import linear, train

BEFORE = ("raw pixels", "random init")


def name_of(direction: Direction, half: str, data: str) -> str:
    """What a run is called in the file."""
    return f"{direction.method}, {direction.name} on {data} ({half})"


def run(direction: Direction, half: str, data: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One run: a row of the file."""
    seed_everything(seed, workers=True, verbose=False)
    small: dict[str, Any] = {"width": 48, "heads": 3} if options.tiny else {}
    size, steps = SIZES["shapes" if data == "scenes" else data], options.steps
    images = HALVES[half][data](
        batch_size=direction.batch_size or options.batch_size, num_workers=options.num_workers,
        **({"num_train": 128, "num_val": 64} if options.tiny and data == "scenes" else {}),
    )  # fmt: skip
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        if direction.taught_by:
            steps, teacher = steps // 2, Path(folder) / "teacher.ckpt"
            train(build(Direction(direction.taught_by), *size, **small), images, steps, options.precision, teacher)
            small["teacher"] = str(teacher)
        module = build(direction, *size, **small)
    row, accuracy = train(module, images, steps, options.precision)
    before = {f"{column}, {kind}": value for kind in BEFORE for column, value in linear(accuracy[kind]).items()}
    told = {"method": direction.method, "direction": direction.name, "half": half, "data": data}
    return told | {"seconds": round(time.perf_counter() - start, 1)} | row | before


def measured(kept: KeptRows, direction: Direction, half: str) -> list[dict[str, str]]:
    """Rows of a direction on one half."""
    return [row for data in HALVES[half] for rows in kept.of(name_of(direction, half, data)) for row in rows]


def score(rows: list[dict[str, str]]) -> float:
    """Mean accuracy of the linear probe after training: over labels, then over data sets and seeds."""
    return mean(mean(values(row, "")) for row in rows)


def values(row: dict[str, str], kind: str) -> list[float]:
    """Accuracies of the linear probe on all labels: after training, or of one of ``BEFORE``."""
    end = f", {kind}" if kind else ""
    columns = [name for name in row if name.startswith("linear ") and (name.endswith(end) if kind else "," not in name)]
    return [float(row[name]) for name in columns if row[name]]


def chosen(kept: KeptRows, directions: list[Direction]) -> list[Direction]:
    """Each method as it is, and its best direction on the half to choose on, where that is another one."""
    found = []
    for method in dict.fromkeys(each.method for each in directions):
        own = [each for each in directions if each.method == method]
        best = max(own, key=lambda each: score(measured(kept, each, "choice")))
        found += [each for each in own if each.name == AS_IT_IS or each is best]
    return found


def table(kept: KeptRows, directions: list[Direction], half: str) -> str:
    """A line for each direction: mean accuracy on each set with what there was before, rank, energy gap, seconds."""
    sets = list(HALVES[half])
    head = ["method", "direction", "seeds", *(f"{data}, %" for data in sets), "RankMe", "energy gap", "seconds"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for kind in BEFORE:
        cells = [cell([mean(values(row, kind)) for row in rows_on(kept, directions, half, data)]) for data in sets]
        lines.append(f"| {kind} | | | {' | '.join(cells)} | | | |")
    for direction in directions:
        if not (rows := measured(kept, direction, half)):
            continue
        seeds = len({row["seed"] for row in rows})
        cells = [cell([mean(values(row, "")) for row in rows if row["data"] == data]) for data in sets]
        cells += [cell([float(row[name]) for row in rows if row.get(name)], digits) for name, digits in
                  (("RankMe", 1), ("energy gap", 3), ("seconds", 0))]  # fmt: skip
        lines.append(f"| {direction.method} | {direction.name} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rows_on(kept: KeptRows, directions: list[Direction], half: str, data: str) -> list[dict[str, str]]:
    """All rows of one set."""
    return [row for direction in directions for row in measured(kept, direction, half) if row["data"] == data]


def cell(found: list[float], digits: int = 1) -> str:
    """Mean, and the standard deviation of several."""
    if not found:
        return ""
    spread = f" ± {stdev(found):.{digits}f}" if len(found) > 1 else ""
    return f"{mean(found):.{digits}f}{spread}"


def sweep(
    kept: KeptRows, directions: list[Direction], half: str, seeds: list[int], options: argparse.Namespace
) -> None:
    """Trains what the file does not have yet, seed by seed, so that a sweep that ends early has all directions."""
    for seed in seeds:
        for direction in directions:
            for data in HALVES[half]:
                name = name_of(direction, half, data)
                if not kept.has(name, seed):
                    kept.add(name, seed, [run(direction, half, data, seed, options)])
                    print(f"{name}, seed {seed}: {score(kept.of(name)[-1]):.1f} %", flush=True)
        write(kept, directions, half, options)


def write(kept: KeptRows, directions: list[Direction], half: str, options: argparse.Namespace) -> None:
    """The tables so far."""
    path = path_of(options.out, ".md")
    first = "" if half == "choice" else path.read_text().split("\nOn the half that nothing was chosen on")[0]
    title = "On the half to choose on" if half == "choice" else "On the half that nothing was chosen on"
    path.write_text(f"{first}\n{title}, {options.steps} steps:\n\n{table(kept, directions, half)}\n")


def main(args: list[str] | None = None) -> None:
    parser = study_parser(__doc__, steps=400, num_workers=0, out="sweep", writes="OUT.csv and OUT.md")
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=list(OPTIONS),
        default=list(OPTIONS),
        help="which to train; default: %(default)s",
    )
    parser.add_argument("--directions", nargs="+", help="names of some, beside each method as it is; default: all")
    parser.add_argument("--report-seeds", nargs="+", type=int, help="on the other half; default: as --seeds")
    parser.add_argument("--threads", type=int, help="of torch; default: all cores")
    parser.add_argument("--tiny", action="store_true", help="a tiny encoder and few scenes: a trial of this script")
    options = parser.parse_args(args)
    known = {each.name for each in DIRECTIONS if each.method in options.methods}
    if wrong := set(options.directions or ()) - known:
        parser.error(f"--directions: there is no {', '.join(sorted(wrong))}; known are {', '.join(sorted(known))}.")
    if options.threads:
        torch.set_num_threads(options.threads)
    wanted = {AS_IT_IS, *(options.directions or known)}
    directions = [each for each in DIRECTIONS if each.method in options.methods and each.name in wanted]
    settings = {name: getattr(options, name) for name in ("steps", "precision", "batch_size", "tiny")}
    kept = KeptRows(path_of(options.out, ".csv"), "sweep", settings, beside=(".md",))
    sweep(kept, directions, "choice", options.seeds, options)
    sweep(kept, chosen(kept, directions), "report", options.report_seeds or options.seeds, options)
    print(f"\n{path_of(options.out, '.md').read_text()}\nwritten to {kept.path} and {path_of(options.out, '.md')}")


if __name__ == "__main__":
    main()
