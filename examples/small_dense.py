"""What the frozen tokens of a small encoder tell of pixels: `jepa-lightning evaluate` on scenes."""

import json
from pathlib import Path

from small_methods import SIZES

from jepa_lightning.cli import main

Row = dict[str, float]
COLUMNS = {"segmentation": ("mIoU", "mask", "miou"), "depth": ("depth R2", "depth", "r2")}  # name, label, metric
SUBJECTS = {"random": "random init", "pixels": "raw pixels"}  # as the comparison names them


def dense(
    checkpoint: Path, folder: Path, seed: int, baselines: bool, num_train: int = 1024, num_val: int = 256
) -> dict[str, Row]:
    """Segmentation and depth on scenes with labels of pixels, by linear heads on tokens.

    Args:
        checkpoint: of the method.
        folder: for features and results.
        seed: of the heads, and of random weights.
        baselines: evaluates these too.
        num_train: scenes that the heads are fitted to.
        num_val: scenes that they are judged on.

    Returns:
        Columns in % by subject: ``trained``, and the baselines.
    """
    size = SIZES["shapes"][0]
    options = {"dense": "true", "image_size": size, "num_train": num_train, "num_val": num_val, "num_workers": 0}
    command = ["evaluate", "--ckpt_path", str(checkpoint), "--data", "ShapesDataModule", "--seed", str(seed)]
    command += [word for name, value in options.items() for word in (f"--data.{name}", str(value))]
    command += ["--protocol", ",".join(COLUMNS), "--baselines", str(baselines).lower(), "--output", str(folder)]
    main(command)
    found = json.loads((folder / "results.json").read_text())
    others = {SUBJECTS[name]: records for name, records in found["baselines"].items()}
    return {name: _row(records) for name, records in {"trained": found, **others}.items()}


def _row(records: dict[str, dict[str, Row]]) -> Row:
    return {name: 100 * records[protocol][label][metric] for protocol, (name, label, metric) in COLUMNS.items()}
