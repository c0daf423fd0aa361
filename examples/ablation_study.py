# S samples
"""Trains each method as it is and without what it is said to need: what `compare_methods.py --ablate` does."""

import argparse
from statistics import mean, stdev
from typing import Any

import torch
from ablations import ABLATIONS, NEGATIVES, VIEWS, Ablation
from kept_rows import KeptRows, Row
from lightning.pytorch import Trainer, seed_everything
from new_files import path_of
from rendered_scenes import SceneProbe, Scenes, Views
from torch.utils.data import DataLoader

import jepa_lightning
from jepa_lightning import JEPAModule
from jepa_lightning.callbacks import CollapseMonitor
from jepa_lightning.features import eval_mode
from jepa_lightning.losses import ranks

AS_IT_IS = ""
COLLAPSED = 0.2  # share of the energy of foreign pairs that is left: all images are alike then
# a small encoder for few steps of small batches: what collapses does so early
SMALL = {"image_size": 48, "patch_size": 8, "width": 64, "depth": 2, "heads": 2}
FEWER = {"IJEPA": {"target_layers": 2, "predictor_dim": 32}, "MAE": {"decoder_dim": 32, "decoder_heads": 2}}
Options = dict[str, Any]


def build(ablation: Ablation, common: Options, own: Options) -> JEPAModule:
    """The method, with what an ablation changes."""
    cls = ablation.module or getattr(jepa_lightning, ablation.method)
    return cls(**common | own | SMALL | FEWER.get(ablation.method, {}) | ablation.options)


def train(module: JEPAModule, scenes: tuple[Scenes, Scenes, Scenes], steps: int, options: Any) -> list[Row]:
    """Measures of one run: of the encoder before training, and of the one after it."""
    probe, monitor = SceneProbe(module, *scenes[1:]), CollapseMonitor(every_n_steps=25, memory=64)
    trainer = Trainer(
        max_steps=steps, callbacks=[monitor], precision=options.precision, logger=False, limit_val_batches=0,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    collate = module.pipeline().collate
    loader = DataLoader(Views(scenes[0], module), 32, shuffle=True, drop_last=True, collate_fn=collate)
    before = measure(module, probe)
    trainer.fit(module, loader)
    after = measure(module, probe) | {"alarms": " ".join(monitor.alarm_kinds)}
    metrics = trainer.callback_metrics
    for name in ("energy", "energy_other", "energy_blind", "energy_gap", "std"):
        after[name] = float(metrics[f"collapse/{name}"]) if f"collapse/{name}" in metrics else float("nan")
    return [{"when": "before"} | before, {"when": "after"} | after]


def measure(module: JEPAModule, probe: SceneProbe) -> Options:
    """Probe and rank of the features that the method is judged by."""
    with torch.no_grad(), eval_mode(module):
        rank, effective = ranks(module.eval_encoder(probe.views[1]).float().mean(dim=1))
        return probe(module.eval_encoder) | {"rank": float(rank), "effective_rank": float(effective)}


def runs(methods: list[str]) -> list[Ablation]:
    """Each method as it is, and what is taken from it."""
    known = dict.fromkeys(ablation.method for ablation in ABLATIONS)
    whole = [Ablation(method, AS_IT_IS) for method in known]
    return [each for each in (*whole, *ABLATIONS) if each.method in methods]


def name_of(ablation: Ablation) -> str:
    return f"{ablation.method} without {ablation.without}" if ablation.without else ablation.method


def ablate(options: argparse.Namespace, common: Options, own: dict[str, Options]) -> None:
    """Trains all runs that OUT.csv does not have yet, and writes the table.

    Args:
        options: of the command line.
        common: options of all methods.
        own: those of each.
    """
    settings = {"steps": options.steps, "precision": options.precision}
    kept = KeptRows(path_of(options.out, ".csv"), "ablations", settings, beside=(".md",))
    scenes = Scenes(4096, 0), Scenes(512, 1 << 20), Scenes(512, 1 << 30)
    for seed in options.seeds:
        for ablation in runs(options.methods):
            name = name_of(ablation)
            if not kept.has(name, seed):
                seed_everything(seed, workers=True, verbose=False)
                module = build(ablation, common, own[ablation.method])
                kept.add(name, seed, train(module, scenes, options.steps, options))
                print(f"{name}, seed {seed}: {cell(kept, name)} {kept.of(name)[-1][-1]['alarms']}", flush=True)
                path_of(options.out, ".md").write_text(table(kept, options.methods) + "\n")
    print(f"\n{table(kept, options.methods)}\n\nwritten to {kept.path} and {path_of(options.out, '.md')}")


def table(kept: KeptRows, methods: list[str]) -> str:
    """A line for each method in Markdown: accuracy on shapes in %, and RankMe."""
    lines = ["| method | predicts | as it is | without augmentations | without negatives | without another part |"]
    lines.append("| --- |" + " --- |" * 5)
    for method in dict.fromkeys(ablation.method for ablation in runs(methods)):
        others = [
            f"{each.without} {cell(kept, name_of(each))}"
            for each in ABLATIONS
            if each.method == method and each.without not in (VIEWS, NEGATIVES) and kept.of(name_of(each))
        ]
        first = [cell(kept, name_of(Ablation(method, without))) for without in (AS_IT_IS, VIEWS, NEGATIVES)]
        predicts = getattr(jepa_lightning, method).traits.predicts
        lines.append(f"| `{method}` | {predicts} | {' | '.join(first)} | {', '.join(others)} |")
    before = [cell(kept, name, when=0) for name in (name_of(each) for each in runs(methods)[:1]) if kept.of(name)]
    return "\n".join([*lines, f"| before training | | {' '.join(before)} | | | |"])


def cell(kept: KeptRows, name: str, when: int = -1) -> str:
    """Accuracy, with its standard deviation over seeds, and rank; a star where what is compared has collapsed."""
    rows = [seed[when] for seed in kept.of(name)]
    if not rows:
        return "none"
    shapes, rank = [100 * float(row["shape"]) for row in rows], mean(float(row["rank"]) for row in rows)
    spread = f" ± {stdev(shapes):.1f}" if len(shapes) > 1 else ""
    whole = kept.of(name.partition(" without ")[0])
    star = "*" if when and whole and _foreign(kept.of(name)) < COLLAPSED * _foreign(whole) else ""
    return f"{mean(shapes):.1f}{spread} / {rank:.1f}{star}"


def _foreign(runs: list[list[Row]]) -> float:
    return mean(float(rows[-1]["energy_other"]) for rows in runs)
