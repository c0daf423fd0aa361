"""One rank of a run of ``scaling.py``: trains IJEPA on ShapesDataModule and writes down what it measured.

``scaling.py`` starts the first rank, and the Trainer the others.
"""

import argparse
import json
import statistics
import warnings
from itertools import pairwise
from pathlib import Path

from lightning.pytorch import Trainer, seed_everything
from scaling_measure import PARTS, TRACED, WARM_UP, Measure, Parts, collective_bytes, collective_seconds, peak_bytes

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import OnlineLinearProbe
from jepa_lightning.data import ShapesDataModule


def options_parser() -> argparse.ArgumentParser:
    """What a run is made of; ``scaling.py`` takes the same."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--encoder", default="vit_tiny")
    parser.add_argument("--depth", type=int, default=6, help="blocks of the encoder, fewer than its name says")
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--patch-size", type=int, default=8)
    parser.add_argument("--predictor-depth", type=int, default=3)
    parser.add_argument("--predictor-dim", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=16, help="of each process")
    parser.add_argument("--num-workers", type=int, default=0, help="loading processes of each process")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--steps", type=int, default=6, help="timed as wholes, and as many again in parts")
    return parser


def train(options: argparse.Namespace) -> tuple[Trainer, Measure]:
    """The run, with the callbacks of a usual one: the module's EMA and a linear probe."""
    seed_everything(0, verbose=False)
    module = IJEPA(
        options.encoder,
        options.image_size,
        options.patch_size,
        options.predictor_depth,
        depth=options.depth,
        predictor_dim=options.predictor_dim,
    )
    steps = WARM_UP + 2 * options.steps + TRACED
    data = ShapesDataModule(
        num_train=steps * options.batch_size * options.processes,
        image_size=options.image_size,
        batch_size=options.batch_size,
        num_workers=options.num_workers,
    )
    parts = Parts()
    measure = Measure(parts, options.steps)
    trainer = Trainer(
        accelerator=options.accelerator,
        strategy=options.strategy,
        devices=options.processes,
        precision=options.precision,
        max_steps=steps,
        callbacks=[OnlineLinearProbe(), measure],
        profiler=parts,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=options.out,
    )
    trainer.fit(module, datamodule=data)
    return trainer, measure


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, parents=[options_parser()])
    parser.add_argument("--strategy", required=True)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for one file a rank")
    options = parser.parse_args(args)
    warnings.simplefilter("ignore")
    before = peak_bytes("cpu")
    trainer, measure = train(options)
    events = measure.trace.events()
    found = measure.found | {
        "step": statistics.median(b - a for a, b in pairwise(measure.ends)),
        "processor": statistics.median(b - a for a, b in pairwise(measure.processor)),
        "parts": {part: measure.parts.seconds[part] / options.steps for part in PARTS},
        "collectives": collective_seconds(events) / measure.found["traced"],
        "bytes": {name: number / TRACED for name, number in collective_bytes(events).items()},
        "before": before,
        "device": trainer.strategy.root_device.type,
    }
    (options.out / f"{trainer.global_rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
