# B batch, C channels, H W height and width
"""Time of one training step of IJEPA against a plain loop over the same networks, and images per second of the data.

python examples/benchmarks/step_time.py
python examples/benchmarks/step_time.py --scaling --encoder vit_tiny --image-size 160 --batch-size 8 --out scaling

The variants take turns, step by step, so that a busy machine slows all alike. The Trainer's step is all it does between
two batches: the module, the callbacks, logging and the progress bar. CollapseMonitor measures every few
steps only, so its cost is the difference of steps with and without a measure, shared out over as many steps.
With --scaling: how a step grows with tokens, batch, width and target blocks, as a table and a plot.
"""

import argparse
import contextlib
import copy
import io
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import Callback, LightningDataModule, Trainer
from step_curves import curves
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision.transforms.v2.functional import resize, to_pil_image

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import CollapseMonitor, OnlineKNN, OnlineLinearProbe
from jepa_lightning.data import (
    CIFAR10DataModule,
    CIFAR100DataModule,
    DigitsDataModule,
    ImageFolderDataModule,
    JEPADataModule,
    Pipeline,
    ShapesDataModule,
    ShapesDataset,
    STL10DataModule,
)
from jepa_lightning.ema import ema_update_
from jepa_lightning.nn import take_tokens
from jepa_lightning.types import Batch

sys.path.append(str(Path(__file__).parents[1]))
from new_files import path_of

WARM_UP = 3  # steps that are not counted
SPARSE = 4  # steps between measures of CollapseMonitor in this benchmark, to have several of them
Step = Callable[[], object]


def plain_step(module: IJEPA, batch: Batch) -> Step:
    """A training step on the module's networks as one writes it without this package's objective or Lightning."""
    context_encoder, target_encoder, predictor = module.context_encoder, module.target_encoder, module.predictor
    parameters = [p for network in (context_encoder, predictor) for p in network.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.04)
    view, (masks,) = batch.views[0], batch.masks

    def step() -> None:
        with torch.no_grad():
            tokens = target_encoder(view)
            tokens = F.layer_norm(tokens, tokens.shape[-1:])
            target = take_tokens(tokens, masks.target.flatten(1)).view(*masks.target.shape, -1)
        predicted = predictor(context_encoder(view, keep=masks.context), masks.context, masks.target)
        loss = F.smooth_l1_loss(predicted, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema_update_(context_encoder, target_encoder, 0.996)

    return step


def objective_step(module: IJEPA, batch: Batch) -> Step:
    """The same with the module's objective."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.04)

    def step() -> None:
        loss = module.objective(batch, 0.0).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        ema_update_(module.context_encoder, module.target_encoder, 0.996)

    return step


class Turns:
    """A loader that gives one batch again and again and, between two batches, runs and times the other variants.

    The time from a batch that is handed out to the next one that is asked for is the Trainer's step.
    """

    def __init__(self, batch: Batch, others: dict[str, Step], steps: int) -> None:
        self.batch, self.others, self.steps = batch, others, steps
        self.seconds: dict[str, list[float]] = {name: [] for name in (*others, "trainer")}

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.steps):
            for name, step in self.others.items():
                self.seconds[name].append(seconds(step))
            start = now()
            yield self.batch
            self.seconds["trainer"].append(now() - start)


class TurnsData(LightningDataModule):
    """The loader with what the probes ask for."""

    num_classes = 10

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self.turns = turns

    def train_dataloader(self) -> Turns:
        """The same batch in each turn."""
        return self.turns

    def memory_dataloader(self) -> Turns:
        """Asked for by OnlineKNN, and only at validation, of which there is none here."""
        return self.turns


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def seconds(step: Step) -> float:
    start = now()
    step()
    return now() - start


def in_turns(module: IJEPA, batch: Batch, callbacks: list[Callback], steps: int) -> dict[str, list[float]]:
    """Seconds of each step: of a Trainer with these callbacks, of the bare objective and of the plain loop."""
    here = move_data_to_device(batch, module.device)
    others = {
        "plain": plain_step(copy.deepcopy(module), here),
        "objective": objective_step(copy.deepcopy(module), here),
    }
    turns = Turns(batch, others, steps)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = Trainer(
            max_steps=steps,
            callbacks=callbacks,
            devices=1,
            default_root_dir=folder,
            enable_checkpointing=False,
            enable_model_summary=False,
        )
        trainer.fit(copy.deepcopy(module), datamodule=TurnsData(turns))
    return {name: column[WARM_UP:] for name, column in turns.seconds.items()}


def compare_steps(module: IJEPA, batch: Batch, steps: int) -> tuple[float, dict[str, float]]:
    """The plain loop's seconds, and the medians of the others in units of it."""
    few = in_turns(module, batch, [], steps)
    monitor = CollapseMonitor(every_n_steps=SPARSE)
    # or it would wait until its memory is full
    full = torch.randn(monitor.memory, module.context_encoder.width)
    monitor.load_state_dict(monitor.state_dict() | {"recent": full})
    many = in_turns(module, batch, [OnlineLinearProbe(), OnlineKNN(), monitor], steps)
    plain = statistics.median(many["plain"])
    times = list(enumerate(many["trainer"], start=WARM_UP + 1))
    with_measure = statistics.median(time for step, time in times if step % SPARSE == 0)
    without = statistics.median(time for step, time in times if step % SPARSE)
    measure, apart = (with_measure - without) / plain, CollapseMonitor().every_n_steps
    ratios = {
        "bare objective": statistics.median(many["objective"]) / plain,
        "Trainer with EMA alone": statistics.median(few["trainer"]) / statistics.median(few["plain"]),
        "Trainer with all default callbacks": without / plain + measure / apart,
        f"  one measure of CollapseMonitor, every {apart} steps": measure,
    }
    return plain, ratios


def data_modules(pipeline: Pipeline, batch_size: int, root: Path, folder: Path) -> dict[str, JEPADataModule]:
    """Every DataModule: those of torchvision on what is in the root, ImageFolder on JPEG files made in the folder."""
    options = {"pipeline": pipeline, "batch_size": batch_size, "num_workers": 0}
    write_folder(folder, number=4 * batch_size)
    downloads = (CIFAR10DataModule, CIFAR100DataModule, STL10DataModule)
    return {
        "ShapesDataModule": ShapesDataModule(**options),
        "DigitsDataModule": DigitsDataModule(**options),
        "ImageFolderDataModule": ImageFolderDataModule(folder, **options),
        **{cls.__name__: cls(root, download=False, **options) for cls in downloads},
    }


def write_folder(folder: Path, number: int) -> None:
    """JPEG files of 500 x 375 pixels, as photographs often have."""
    scenes = ShapesDataset(number, image_size=96)
    for i in range(number):
        image, labels, _ = scenes[i]
        path = folder / str(labels["shape"]) / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        to_pil_image(resize(image, [375, 500])).save(path, quality=90)


def loading_rates(modules: dict[str, JEPADataModule], batches: int, rounds: int) -> dict[str, float | None]:
    """Images per second of one process, median over rounds; None where the data are not there."""
    loaders: dict[str, Iterator[Batch]] = {}
    for name, data in modules.items():
        with contextlib.suppress(FileNotFoundError):
            data.setup()
            loaders[name] = forever(data.train_dataloader())
    times: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(rounds + 1):
        for name, loader in loaders.items():
            times[name].append(seconds(lambda loader=loader: [next(loader) for _ in range(batches)]))
    return {
        name: batches * modules[name].batch_size / statistics.median(times[name][1:]) if name in times else None
        for name in modules
    }


def forever(loader: DataLoader) -> Iterator[Batch]:
    while True:
        yield from loader


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="vit_small")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--patch-size", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12, help="of each variant, in each of two runs")
    parser.add_argument("--rounds", type=int, default=5, help="times that each DataModule loads two batches")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="where CIFAR and STL-10 may be")
    parser.add_argument("--scaling", action="store_true", help="curves over tokens, batch, width and target blocks")
    parser.add_argument("--sides", type=int, nargs="+", default=[4, 6, 8, 10, 14], help="of --scaling, in tokens")
    parser.add_argument("--out", type=Path, help="of --scaling: writes OUT.csv and OUT.png")
    options = parser.parse_args(args)
    for path in (path_of(options.out, ".csv"), path_of(options.out, ".png")) if options.out else ():
        if path.exists():
            parser.error(f"{path} exists, and it is left as it is: give another --out, or remove it.")
    options.device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.scaling:
        curves(options)
        return
    if options.out:
        parser.error("--out is for --scaling.")
    if options.steps < WARM_UP + 2 * SPARSE:
        parser.error(f"--steps {options.steps}: give at least {WARM_UP + 2 * SPARSE}.")
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    module = IJEPA(options.encoder, image_size=options.image_size, patch_size=options.patch_size).to(options.device)
    pipeline = module.pipeline()
    images = torch.randint(0, 256, (options.batch_size, 3, options.image_size, options.image_size), dtype=torch.uint8)
    batch = pipeline.collate([(pipeline.eval_transform(image), i % 10) for i, image in enumerate(images)])
    plain, ratios = compare_steps(module, batch, options.steps)
    print(
        f"{options.encoder}/{options.patch_size}, {options.image_size} px, batch {options.batch_size}, {options.device}"
    )
    print(f"{'plain loop, seconds a step':<50}{plain:>8.3f}")
    print("over the plain loop:")
    for name, ratio in ratios.items():
        print(f"{name:<50}{ratio:>8.3f}")
    with tempfile.TemporaryDirectory() as folder:
        data = data_modules(pipeline, options.batch_size, options.data_root, Path(folder))
        rates = loading_rates(data, batches=2, rounds=options.rounds)
    print("images per second of one loading process, and over those that a plain step takes:")
    for name, rate in rates.items():
        found = f"{rate:>8.0f}{rate * plain / options.batch_size:>8.1f}" if rate else "  not on disk"
        print(f"{name:<50}{found}")


if __name__ == "__main__":
    main()
