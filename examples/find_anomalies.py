# B batch, C channels, T H W frames, height, width, N tokens of the grid
"""Scores images or clips by the energy of a trained model: what is unlike its training data should come first.

python examples/find_anomalies.py --ckpt CKPT --root DIR --out OUT
python examples/find_anomalies.py --ckpt CKPT --method VJEPA --root DIR --out OUT
python examples/find_anomalies.py --demo shapes --out OUT
python examples/find_anomalies.py --demo physics --out OUT

OUT/scores.csv has the path in DIR, the score and the rank of each file, the highest score first; OUT/sheet.png shows
the highest and the lowest, with energy maps beside. Methods with masks are scored by their energy maps, each place over
the median of the folder there unless --absolute; the others by the energy of two augmented views. A demo trains a small
model on normal samples, which it saves in OUT, or takes --ckpt, scores odd ones that were not trained on, and prints
how well they are separated, beside random weights and statistics of pixels.
"""

import argparse
import csv
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import matplotlib
import torch
from anomaly_demo import relative, run_demo
from lightning.pytorch import seed_everything
from torch import Tensor

import jepa_lightning
from jepa_lightning import JEPAModule
from jepa_lightning.data import ImageFolderDataModule, Pipeline, VideoFolderDataModule
from jepa_lightning.energy import Score, anomaly_score, energy_map, pair_energy, token_grid

matplotlib.use("Agg")
from matplotlib import pyplot

SHOWN = 8  # samples in a row of the sheet
FRAMES = 6  # of a clip without a map


class Scored(NamedTuple):
    """One sample: where it is from, its score, one view ``[C, H, W]`` or ``[C, T, H, W]``, and its map ``[N]``."""

    path: str
    score: float
    view: Tensor
    energies: Tensor | None


def has_map(module: JEPAModule) -> bool:
    """Whether the method predicts tokens, and so has an energy of each."""
    return bool(module.pipeline().collate.masks)


def shown_for(module: JEPAModule, masked: bool) -> Pipeline:
    """How samples are shown: as in validation, or in the augmented views of training where views are compared."""
    pipeline = module.pipeline()
    return pipeline if masked else replace(pipeline, eval_transform=pipeline.transform)


@torch.no_grad()
def score_folder(module: JEPAModule, options: argparse.Namespace) -> list[Scored]:
    """Every file of a folder."""
    masked, folder = has_map(module), ImageFolderDataModule if module.media_axes == 3 else VideoFolderDataModule
    data = folder(
        options.root,
        pipeline=shown_for(module, masked),
        batch_size=options.batch_size,
        num_workers=options.num_workers,
    )
    data.setup()
    paths: list[str] = []
    shown, found = [], []
    for batch in data.predict_dataloader():
        views = [view.to(module.device) for view in batch.views]
        found.append((energy_map(module, views[0]) if masked else pair_energy(module, *views[:2])).cpu())
        shown.append(batch.views[0])
        paths += batch.paths
    energies = torch.cat(found)
    if not masked:
        return list(map(Scored, paths, energies.tolist(), torch.cat(shown), [None] * len(paths)))
    maps = energies if options.absolute else relative(energies)
    return list(map(Scored, paths, anomaly_score(maps, options.score).tolist(), torch.cat(shown), maps))


def write_scores(scored: list[Scored], path: Path) -> None:
    """Path, score and rank of each sample, the highest first; never in place of a file."""
    with path.open("x", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "score", "rank"])
        writer.writerows([one.path, f"{one.score:.6g}", rank] for rank, one in enumerate(scored, 1))


def picture(one: Scored, module: JEPAModule) -> tuple[Tensor, Tensor | None]:
    """An image ``[H, W, C]``, and its map ``[rows, columns]``.

    Of a clip the frame where the energy is highest; without a map some frames, the first on top.
    """
    view, energies = one.view, None if one.energies is None else one.energies.reshape(token_grid(module))
    if view.ndim == 4 and energies is not None:
        moment = int(energies.flatten(1).amax(dim=1).argmax())
        view, energies = view[:, moment * view.shape[1] // len(energies)], energies[moment]
    elif view.ndim == 4:
        moments = torch.linspace(0, view.shape[1] - 1, FRAMES).long()
        view = view[:, moments].flatten(1, 2)
    mean, std = (torch.tensor(values)[:, None, None] for values in (module.mean, module.std))
    image = (view * std + mean).clamp(0, 1).permute(1, 2, 0)
    return image[..., :3] if image.shape[-1] >= 3 else image[..., 0], energies


def draw_sheet(scored: list[Scored], module: JEPAModule, path: Path) -> None:
    """The highest and the lowest scores, each image above its map, all maps with one scale."""
    rows = [("highest", scored[:SHOWN]), ("lowest", scored[::-1][:SHOWN])]
    pictures = [(name, [(one, *picture(one, module)) for one in some]) for name, some in rows]
    energies = [item[2] for _, some in pictures for item in some if item[2] is not None]
    low, high = torch.stack(energies).quantile(torch.tensor([0.01, 0.99])).tolist() if energies else (0.0, 1.0)
    lines = 2 if energies else 1
    height, width = pictures[0][1][0][1].shape[:2]
    size = (1.3 * SHOWN, 2 * (lines * 1.1 * height / width + 0.35))
    figure, axes = pyplot.subplots(2 * lines, SHOWN, figsize=size, layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for row, (name, some) in enumerate(pictures):
        for column, (one, image, grid) in enumerate(some):
            axis = axes[lines * row, column]
            axis.imshow(image.numpy(), cmap="gray")
            axis.set_title(
                f"{f'{name}: ' if column == 0 else ''}{one.score:.3g}\n{Path(one.path).name[:16]}", fontsize=7
            )
            if grid is not None:
                axes[lines * row + 1, column].imshow(grid.numpy(), vmin=low, vmax=high, cmap="magma")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def load(options: argparse.Namespace) -> JEPAModule:
    """The module of the checkpoint, in eval mode."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    method: Any = getattr(jepa_lightning, options.method)
    module: JEPAModule = method.load_from_checkpoint(options.ckpt, map_location=device).eval()
    return module


def parse(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", type=Path, help="a checkpoint of a module of this package")
    methods = sorted(set(jepa_lightning.__all__) - {"FSDP2Strategy", "JEPAModule", "__version__"})
    parser.add_argument("--method", choices=methods, help="that the checkpoint is of; IJEPA, or VJEPA of physics")
    parser.add_argument("--root", type=Path, help="the folder of images, or of clips for VJEPA")
    parser.add_argument("--demo", choices=("shapes", "physics"), help="built-in data instead of a folder")
    parser.add_argument("--score", choices=get_args(Score), default="top", help="of a map; a demo chooses by itself")
    parser.add_argument("--absolute", action="store_true", help="leave maps as they are, see above")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="of a demo's training")
    parser.add_argument("--steps", type=int, help="of a demo's training")
    parser.add_argument("--samples", type=int, default=400, help="of each kind in a demo, half of them to choose by")
    parser.add_argument("--batch-size", type=int, default=64, help="samples of a step; default: %(default)s")
    parser.add_argument("--precision", default="32-true", help="of a demo's training, such as bf16-mixed")
    parser.add_argument("--num-workers", type=int, default=2, help="processes that load data; default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="a new folder, for scores.csv and sheet.png")
    options = parser.parse_args(args)
    if (options.root is None) == (options.demo is None):
        parser.error("give --root DIR, the folder to score, or --demo shapes or physics.")
    if options.root is not None and options.ckpt is None:
        parser.error("--root needs --ckpt, a checkpoint that was trained on normal samples.")
    options.method = options.method or ("VJEPA" if options.demo == "physics" else "IJEPA")
    return options


def main(args: list[str] | None = None) -> None:
    options = parse(args)
    try:
        run(options)
    except (OSError, ValueError) as error:  # of a file or a folder that a person has named
        raise SystemExit(f"find_anomalies.py: error: {error}") from error


def run(options: argparse.Namespace) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    if any(options.out.iterdir()):
        raise SystemExit(f"{options.out} is not empty: give a new folder to --out, so that no file is replaced.")
    seed_everything(0, verbose=False)  # the views that are compared are the same at each call
    module = load(options) if options.ckpt else None
    if options.demo is None:
        scored = score_folder(module, options)
    else:
        module, found, report = run_demo(options, module)
        scored = [Scored(*each) for each in found]
        print(f"\n{report}\n")
    scored.sort(key=lambda one: -one.score)
    write_scores(scored, options.out / "scores.csv")
    draw_sheet(scored, module, options.out / "sheet.png")
    print(f"{len(scored)} scores in {options.out / 'scores.csv'}, the highest and the lowest in sheet.png beside it")


if __name__ == "__main__":
    main()
