# B batch, S samples
"""The collapse laboratory: one part of I-JEPA changed at a time, and what becomes of its features.

python examples/collapse_study.py --out study
python examples/collapse_study.py --quick --out quick

All runs have the same small encoder, scenes, optimizer and steps, and are measured on the same other scenes: a linear
probe, the rank, the share of content, and the energy of true and of foreign pairs over that of a blind prediction (the
mean of the targets). OUT.csv keeps finished runs, and a study that was killed continues there. It ends with OUT.md, a
table with the alarms that `CollapseMonitor` gives for such measures, and OUT.png, the curves.
"""

import argparse
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib
import torch
from collapse_variants import BASE, GROUPS, VARIANTS, OneKind, Variant
from kept_rows import KeptRows, Row
from lightning.pytorch import Callback, Trainer, seed_everything
from new_files import path_of
from rendered_scenes import SceneProbe, Scenes, Views
from run_options import study_parser
from torch.utils.data import DataLoader

from jepa_lightning import IJEPA
from jepa_lightning.callbacks.alarms import AlarmBell
from jepa_lightning.energy import blind_energy
from jepa_lightning.features import eval_mode
from jepa_lightning.losses import content_share, feature_std, ranks

matplotlib.use("Agg")
from matplotlib import pyplot

# a smaller quickstart whose targets are the encoder's output alone, and that has no regularizer
COMMON = {
    "encoder": "vit_tiny", "image_size": 48, "patch_size": 8, "predictor_depth": 1, "predictor_dim": 32,
    "predictor_heads": 2, "num_targets": 2, "crop_scale": (0.8, 1.0), "ema": (0.99, 0.99), "lr": 2e-3, "start_lr": 1e-5,
    "warmup": 0.1, "final_weight_decay": 0.04,
}  # fmt: skip
# title of a panel: measures, or one over another
PANELS = {
    "linear probe, share of shapes": ("context_shape",),
    "RankMe": ("context_rank",),
    "content share": ("context_content_share",),
    "energy\n(solid true, dashed foreign)": ("energy", "energy_other"),
    "energy over that of the mean\n(solid true, dashed foreign)": ("energy/energy_blind", "energy_other/energy_blind"),
}
LOGARITHMIC = (1, 3)
# what alarms know of
MEASURES = ("effective_rank", "std", "content_share", "energy", "energy_other", "energy_blind", "energy_gap")
PAIRS = 256  # scenes whose energies are measured
PATIENCE = 1  # measures that an alarm must be on: there are only a few of them


class Curves(Callback):
    """Measures a module before training and every few steps.

    Measures of ``eval_encoder``, the target, have the names of ``CollapseMonitor``; those of the context encoder, which
    gradients move, have ``context_`` in front.
    """

    def __init__(self, module: IJEPA, train: Scenes, val: Scenes, every: int) -> None:
        self.every, self.probe = every, SceneProbe(module, train, val)
        self.rows: list[dict[str, Any]] = []
        with torch.random.fork_rng():
            torch.manual_seed(0)  # the same masks in all runs
            self.pairs = module.pipeline().collate(list(val.shown(module)[:PAIRS]))

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Measures what the run starts from."""
        self.measure(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        """Measures every few steps, after the target has moved."""
        if trainer.global_step % self.every == 0:
            self.measure(trainer, pl_module)

    def measure(self, trainer: Trainer, module: IJEPA) -> None:
        """Adds a row."""
        row: dict[str, Any] = {"step": trainer.global_step}
        with torch.no_grad(), eval_mode(module), trainer.precision_plugin.forward_context():
            view = self.pairs.views[0]
            for prefix, encoder in (("", module.target_encoder), ("context_", module.context_encoder)):
                tokens = encoder(view).float()
                rank, effective = ranks(tokens.mean(dim=1))
                found = {"rank": rank, "effective_rank": effective, "std": feature_std(tokens.mean(dim=1))}
                found["content_share"] = content_share(tokens)
                row |= {f"{prefix}{name}": float(value) for name, value in found.items()}
            row |= {f"context_{label}": value for label, value in self.probe(module.context_encoder).items()}
            if trainer.global_step in (0, trainer.max_steps):
                row |= self.probe(module.target_encoder)
            row["energy"] = float(module.energy(self.pairs).mean())
            row["energy_other"] = float(module.energy(self.pairs._replace(views=[view, view.roll(1, 0)])).mean())
            row["energy_blind"] = float(blind_energy(module, self.pairs).mean())
        row["energy_gap"] = (row["energy_other"] - row["energy"]) / max(row["energy_other"], 1e-38)
        self.rows.append(row)


def train(variant: Variant, seed: int, scenes: tuple[Scenes, Scenes, Scenes], options: argparse.Namespace) -> list[Any]:
    """The measures of one run."""
    seed_everything(seed, workers=True, verbose=False)
    sizes = {"width": options.width, "depth": options.depth, "heads": 2}
    module = variant.module(**COMMON | sizes | variant.options)
    views, collate = Views(scenes[0], module), module.pipeline().collate
    if variant.one_kind:
        loader = DataLoader(views, batch_sampler=OneKind(scenes[0].labels, options.batch_size), collate_fn=collate)
    else:
        loader = DataLoader(views, options.batch_size, shuffle=True, drop_last=True, collate_fn=collate)
    curves = Curves(module, *scenes[1:], options.every)
    trainer = Trainer(
        max_steps=options.steps, callbacks=[curves], precision=options.precision, logger=False,
        limit_val_batches=0, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader)
    return curves.rows


def alarms(rows: list[Row]) -> list[str]:
    """Kinds of the alarms that `CollapseMonitor` gives for such measures."""
    bell = AlarmBell(PATIENCE)
    for row in rows:
        bell.check({name: float(row[name]) for name in MEASURES}, int(row["step"]))
    return bell.kinds


def spread(values: list[float], digits: int = 1) -> str:
    """Mean and standard deviation over seeds."""
    return f"{mean(values):.{digits}f}" + (f" ± {stdev(values):.{digits}f}" if len(values) > 1 else "")


def table(kept: KeptRows) -> str:
    """A line for each kind of run, with the measures at its end, in Markdown."""
    columns = {
        "shape, %": ("context_shape", 100, 1), "target": ("shape", 100, 1), "all labels": ("context_labels", 100, 1),
        "RankMe": ("context_rank", 1, 1), "content share": ("context_content_share", 1, 2),
        "energy": ("energy", 1, 3),
    }  # fmt: skip
    lines = [f"| run | {' | '.join(columns)} | true / mean | foreign / mean | alarms |"]
    lines += ["| --- |" + " --- |" * (len(columns) + 3)]
    first = [rows[0] for name in VARIANTS for rows in kept.of(name) if name == BASE]
    for name, ends in {
        "before training": first,
        **{name: [rows[-1] for rows in kept.of(name)] for name in VARIANTS},
    }.items():
        if not ends:
            continue
        cells = [spread([scale * float(row[key]) for row in ends], digits) for key, scale, digits in columns.values()]
        for key in ("energy/energy_blind", "energy_other/energy_blind"):
            cells.append(spread([_value(row, key) for row in ends], 2))
        given = [kind for rows in kept.of(name) for kind in alarms(rows)]
        counts = [f"{kind} {given.count(kind)}/{len(ends)}" for kind in dict.fromkeys(given)]
        lines.append(f"| {name} | {' | '.join(cells)} | {', '.join(counts)} |")
    return "\n".join(lines)


def plot(kept: KeptRows, path: Path) -> None:
    """A row of panels for each group: mean over seeds, and bands of one standard deviation."""
    figure, axes = pyplot.subplots(len(GROUPS), len(PANELS), figsize=(18, 11), sharex=True, sharey="col")
    for line, group in zip(axes, GROUPS, strict=True):
        names = [BASE, *(name for name, variant in VARIANTS.items() if variant.group == group)]
        for panel, (label, keys) in zip(line, PANELS.items(), strict=True):
            for i, name in enumerate(names):
                for key in keys if kept.of(name) else ():
                    draw(panel, kept.of(name), key, name, "black" if i == 0 else f"C{i - 1}")
            if group == GROUPS[0]:
                panel.set_title(label, fontsize=11)
            if group == GROUPS[-1]:
                panel.set_xlabel("step")
        for at in LOGARITHMIC:
            line[at].set_yscale("log")
        line[0].set_ylabel(group)
        line[-1].axhline(1, color="gray", linewidth=0.8)
        line[-1].set_ylim(0.5, 2)
        if line[0].lines:
            line[-1].legend(*line[0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=60)


def draw(panel: Any, runs: list[list[Row]], key: str, name: str, color: str) -> None:
    """One curve with its band."""
    values = torch.tensor([[_value(row, key) for row in rows] for rows in runs])
    steps, middle = [int(row["step"]) for row in runs[0]], values.mean(dim=0)
    panel.plot(steps, middle, color=color, label=name, linestyle="--" if "other" in key else "-", linewidth=1.4)
    if len(runs) > 1:
        band = values.std(dim=0)
        panel.fill_between(steps, middle - band, middle + band, color=color, alpha=0.15, linewidth=0)


def _value(row: Row, key: str) -> float:
    above, _, below = key.partition("/")
    return float(row[above]) / (max(float(row[below]), 1e-38) if below else 1.0)


def main(arguments: list[str] | None = None) -> None:
    parser = study_parser(
        __doc__, steps=100, batch_size=32, num_workers=None, out="collapse", writes="OUT.csv, OUT.md and OUT.png"
    )
    parser.add_argument("--quick", action="store_true", help="one seed of 8 steps with a tiny encoder: does it run?")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=list(VARIANTS),
        default=list(VARIANTS),
        metavar="NAME",
        help="what to leave out; default: all",
    )
    parser.add_argument("--every", type=int, default=25, help="steps between measures")
    parser.add_argument("--width", type=int, default=64, help="of the tokens; default: %(default)s")
    parser.add_argument("--depth", type=int, default=2, help="blocks of the encoder; default: %(default)s")
    parser.add_argument("--train-scenes", type=int, default=4096, help="scenes to train on; default: %(default)s")
    parser.add_argument("--probe-scenes", type=int, default=512, help="to fit the probe, and as many to score it")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.steps, options.every, options.batch_size = [0], 8, 4, 16
        options.width, options.depth, options.train_scenes, options.probe_scenes = 48, 2, 256, 256
    shared = ("steps", "every", "batch_size", "width", "depth", "train_scenes", "probe_scenes", "precision")
    settings = {name: getattr(options, name) for name in shared}
    kept = KeptRows(path_of(options.out, ".csv"), "collapse", settings, beside=(".md", ".png"))
    scenes = tuple(
        Scenes(size, offset)
        for size, offset in (
            (options.train_scenes, 0),
            (options.probe_scenes, 1 << 20),
            (options.probe_scenes, 1 << 30),
        )
    )
    for seed in options.seeds:
        for name in options.variants:
            if kept.has(name, seed):
                continue
            rows = train(VARIANTS[name], seed, scenes, options)
            kept.add(name, seed, rows)
            print(
                f"{name}, seed {seed}: " + ", ".join(f"{key} {value:.3g}" for key, value in rows[-1].items()),
                flush=True,
            )
            path_of(options.out, ".md").write_text(table(kept) + "\n")
    plot(kept, path_of(options.out, ".png"))
    print(f"\n{table(kept)}\n\nwritten to {kept.path}, .md and .png")


if __name__ == "__main__":
    main()
