"""Whole runs of the quickstart and of the recipe for small images, on built-in data and on a folder."""

import argparse
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from gpu_part import Part, Row
from torchvision.transforms.v2.functional import to_pil_image

from jepa_lightning.data import ShapesDataset

ROOT = Path(__file__).parents[2]
QUICKSTART, SMALL = (ROOT / "configs" / name for name in ("quickstart.yaml", "ijepa/small.yaml"))
TINY = [
    *("--trainer.max_steps", "2", "--trainer.val_check_interval", "2", "--trainer.limit_val_batches", "1"),
    *("--model.depth", "4", "--model.width", "48", "--model.heads", "3", "--data.batch_size", "16"),
]
CLOSING = 25.0  # seconds from the end of training to the end of the process


def write_folder(folder: Path, number: int) -> None:
    """JPEG files of scenes, a class for each shape."""
    scenes = ShapesDataset(number, image_size=64)
    for i in range(number):
        image, labels, _ = scenes[i]
        path = folder / str(labels["shape"]) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(path, quality=90)


def fit(config: Path, more: list[str], seconds: float, options: argparse.Namespace) -> Row:
    """One run of the command line, in which training stops in time for the probes at its end.

    Args:
        config: the recipe.
        more: further words of the command.
        seconds: for the whole process, which is killed then.
        options: ``device``, ``tiny`` and ``folder``.

    Returns:
        The summary that the run prints, and whether it came to its last step.
    """
    training = timedelta(seconds=max(10, int(seconds - CLOSING)))
    words = ["fit", "--config", str(config), "--seed_everything", "0", "--trainer.max_time", f"00:0{training}", *more]
    if options.tiny:
        words += TINY
    workers = 0 if options.tiny else max(1, (os.cpu_count() or 2) - 1)
    words += ["--data.num_workers", str(workers), "--trainer.default_root_dir", str(options.work)]
    command = [sys.executable, "-m", "jepa_lightning", *words]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        printed, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        raise TimeoutError(f"the run took more than {seconds:.0f} s; it ended with: {printed[-300:]!r}") from None
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode}: {printed.strip().splitlines()[-1]}")
    summary = printed[printed.rfind("\nIJEPA on ") :].split("\n  run ")[0]
    return {"command": "jepa-lightning " + " ".join(words), "summary": summary.strip()}


def check(part: Part, options: argparse.Namespace) -> None:
    """Trains each recipe in its share of the time.

    Args:
        part: takes the findings.
        options: ``device``, ``tiny``, ``folder`` and ``work``, a folder for runs.
    """
    folder = options.folder or options.work / "folder"
    if options.folder is None:
        write_folder(folder, 64 if options.tiny else 4096)
    few = ["--data.num_train", "64", "--data.num_val", "16"] if options.tiny else []
    runs = {
        "quickstart": (QUICKSTART, few, 0.3),
        "small.yaml, scenes": (SMALL, few, 0.5),
        "small.yaml, folder": (SMALL, ["--data", "ImageFolderDataModule", "--data.root", str(folder)], 1.0),
    }
    for name, (config, more, share) in runs.items():
        least = 5 if options.tiny else 40
        part.run(name, lambda c=config, m=more, s=share: fit(c, m, s * part.left(), options), least)
