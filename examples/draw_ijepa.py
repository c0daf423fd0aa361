# B batch, C channels, H W height and width, N tokens of the grid, M target blocks, Kc Kt kept tokens
"""Draws what I-JEPA sees and what it predicts, beside the online probe and the loss of a run.

jepa-lightning fit --config configs/quickstart.yaml
python examples/draw_ijepa.py logs/IJEPA/version_0 --out ijepa.png

Scenes are procedural; masks are drawn as in the run, with its options. Curves are those of its TensorBoard logs. Dotted
lines are the report's linear probe on raw pixels, which is fitted to convergence; the online probe is still learning.
"""

import argparse
from pathlib import Path

import matplotlib
import torch
from new_files import refuse_existing
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from jepa_lightning import IJEPA
from jepa_lightning.data import ShapesDataset
from jepa_lightning.types import Batch

matplotlib.use("Agg")
from matplotlib import pyplot

LABELS = {"shape": "tab:blue", "position": "tab:orange"}
Curve = tuple[list[int], list[float]]


def scenes(module: IJEPA, number: int) -> Batch:
    """Procedural scenes with masks."""
    torch.manual_seed(0)
    pipeline, data = module.pipeline(), ShapesDataset(number, module.image_size[0])
    return pipeline.collate([(pipeline.eval_transform(data[i][0]), 0) for i in range(number)])


def panels(module: IJEPA, batch: Batch) -> Tensor:
    """Each scene whole, its context and its targets: [B, 3, C, H, W], with a gray veil over tokens left out."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (module.mean, module.std))
    images = (batch.views[0] * std + mean).clamp(0, 1)
    (masks,) = batch.masks
    tokens = module.grid_size[0] * module.grid_size[1]
    shown = torch.zeros(len(images), 3, tokens)
    shown[:, 0] = 1
    shown[:, 1].scatter_(1, masks.context, 1)
    shown[:, 2].scatter_(1, masks.target.flatten(1), 1)
    grid = shown.unflatten(2, module.grid_size)
    veil = grid.repeat_interleave(module.patch_size, 2).repeat_interleave(module.patch_size, 3)[:, :, None]
    return images[:, None] * veil + 0.9 * (1 - veil)


def curves(run: Path) -> dict[str, Curve]:
    """Steps and values of each scalar that the run has logged."""
    events = EventAccumulator(str(run)).Reload()
    return {
        name: ([event.step + 1 for event in events.Scalars(name)], [event.value for event in events.Scalars(name)])
        for name in events.Tags()["scalars"]
    }


def draw(pictures: Tensor, logged: dict[str, Curve], path: Path) -> None:
    """Writes the figure."""
    figure = pyplot.figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(4, 6))
    rows = zip(pictures.unbind(1), left.subplots(3, len(pictures)), ("scene", "seen", "predicted"), strict=True)
    for row, axes, name in rows:
        for picture, axis in zip(row, axes, strict=True):
            axis.imshow(picture.permute(1, 2, 0))
            axis.set(xticks=[], yticks=[])
        axes[0].set_ylabel(name)
    probe, loss = right.subplots(1, 2)
    for label, color in LABELS.items():
        steps, values = logged[f"val/linear_{label}"]
        probe.plot(steps, [100 * value for value in values], color=color, marker="o", label=f"{label}, online probe")
        pixels = 100 * logged[f"val/linear_{label}_raw_pixels"][1][-1]
        probe.axhline(pixels, color=color, linestyle=":", label=f"{label}, raw pixels")
    probe.set(xlabel="step", title="accuracy, %", ylim=(0, 100), xlim=(0, None))
    right.legend(loc="outside lower center", ncols=2, fontsize="small")
    loss.plot(*logged["train/loss"], color="tab:gray")
    loss.set(xlabel="step", title="train/loss", ylim=(0, None), xlim=(0, None))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run of IJEPA on ShapesDataModule")
    parser.add_argument("--out", type=Path, default=Path("ijepa.png"), help="the picture, .png or another format")
    parser.add_argument("--scenes", type=int, default=4, help="scenes to draw; default: %(default)s")
    options = parser.parse_args(args)
    refuse_existing(options.out)
    module = IJEPA.load_from_checkpoint(options.run / "checkpoints" / "last.ckpt", map_location="cpu")
    draw(panels(module, scenes(module, options.scenes)), curves(options.run), options.out)


if __name__ == "__main__":
    main()
