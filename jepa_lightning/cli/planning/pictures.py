# K recorded episodes, T frames, H W C height, width, channels
"""A film of episodes: what is seen beside what is to be seen, successes and failures."""

import io
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor
from torch.utils.tensorboard.writer import FileWriter

from jepa_lightning.callbacks.pictures.colors import red_over_dark
from jepa_lightning.planning.episodes import Episodes

SHOWN = 4  # successes, and as many failures
FRAMES = 60  # of a film at most
SIDE = 130  # pixels of a picture at least
GAP, LINE = 6, 16
COLORS = {True: (40, 150, 70), False: (200, 30, 40)}
TAG = "plan/episodes"


def film(episodes: Episodes) -> bytes | None:
    """A GIF of successes in the upper row and failures in the lower one; None where nothing was recorded."""
    recorded = len(episodes.frames)
    rows = [
        [row for row in range(recorded) if bool(episodes.success[row]) is success][:SHOWN] for success in (True, False)
    ]
    rows = [row for row in rows if row]
    if not rows:
        return None
    last = max(int(episodes.steps[row]) for each in rows for row in each)
    times = np.unique(np.linspace(0, last, min(last + 1, FRAMES)).round().astype(int)).tolist()
    sheets = [_sheet(episodes, rows, time) for time in times]
    palette = sheets[len(sheets) // 2].quantize(256)  # one for all: finding it takes most of the time
    sheets = [sheet.quantize(palette=palette, dither=Image.Dither.NONE) for sheet in sheets]
    buffer = io.BytesIO()
    pace = [80] * (len(sheets) - 1) + [1500]
    sheets[0].save(buffer, "GIF", save_all=True, append_images=sheets[1:], duration=pace, loop=0)
    return buffer.getvalue()


def _sheet(episodes: Episodes, rows: list[list[int]], time: int) -> Image.Image:
    """All pictures at one time."""
    scale = max(1, -(-SIDE // int(episodes.goals.shape[1])))
    height, width = (scale * side for side in episodes.goals.shape[1:3])
    cell = (2 * width + 3 * GAP, height + LINE + 2 * GAP)
    sheet = Image.new("RGB", (max(map(len, rows)) * cell[0], len(rows) * cell[1]), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    for top, row in enumerate(rows):
        for left, number in enumerate(row):
            at, ended = (left * cell[0] + GAP, top * cell[1] + GAP), int(episodes.steps[number])
            success, now = bool(episodes.success[number]), min(time, ended)
            said = f"{'success' if success else 'failure'}, step {now} of {ended}"
            draw.text(at, said, COLORS[success], font)
            draw.text((at[0] + width + GAP, at[1]), "goal", "black", font)
            for place, image in enumerate((episodes.frames[number, now], episodes.goals[number])):
                picture = Image.fromarray(colors(image)).resize((width, height), Image.Resampling.NEAREST)
                sheet.paste(picture, (at[0] + place * (width + GAP), at[1] + LINE))
    return sheet


def colors(image: Tensor) -> np.ndarray:
    """An observation of any number of channels in red, green and blue.

    Args:
        image: uint8 ``[H, W, C]``: gray, the first channel in red over the second one, or the first three.
    """
    channels = image.shape[-1]
    if channels == 1:
        return image.expand(*image.shape[:2], 3).numpy()
    if channels == 2:
        return red_over_dark(image, axis=2).numpy()
    return image[..., :3].numpy()


def show_in_tensorboard(gif: bytes, checkpoint: Path, step: int) -> Path | None:
    """Adds a film to TensorBoard where the checkpoint is of a run that has one.

    Args:
        gif: the film.
        checkpoint: in ``RUN/checkpoints``.
        step: of the checkpoint.

    Returns:
        The folder of the run; None where it has no such records, or they cannot be added to.
    """
    run = checkpoint.resolve().parent.parent
    if checkpoint.resolve().parent.name != "checkpoints" or not [*run.glob("events.out.tfevents.*")]:
        return None
    with Image.open(io.BytesIO(gif)) as image:
        width, height = image.size
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=gif)
    try:
        with closing(FileWriter(str(run))) as writer:
            writer.add_summary(Summary(value=[Summary.Value(tag=TAG, image=picture)]), step)
    except OSError:  # the run may be another person's, and the film is in the output anyway
        return None
    return run
