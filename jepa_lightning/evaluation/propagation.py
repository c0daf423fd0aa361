# S videos, T frames, N tokens of a frame, D width, O objects with the background, H W height and width
"""Video object segmentation: masks of the first frame, carried on by nearest neighbors of tokens."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms import v2

from jepa_lightning.data.collate import Collate
from jepa_lightning.data.dense import MASK
from jepa_lightning.data.pipelines import Pipeline, eval_steps, to_tensor
from jepa_lightning.data.videos.video import as_video
from jepa_lightning.evaluation.bootstrap import draw_weights
from jepa_lightning.evaluation.figures import LEVEL
from jepa_lightning.evaluation.subjects import Subject
from jepa_lightning.evaluation.tasks import Grid, Record, Settings
from jepa_lightning.probing.propagation import Propagation, contour_accuracy, propagate, region_similarity
from jepa_lightning.types import Sample

CHOSEN_ON = 16  # training videos that options are compared on
GRIDS: dict[Grid, list[Propagation]] = {
    "quick": [Propagation(4, radius, 5, temperature) for radius in (2, 12) for temperature in (0.05, 0.2)],
    # V-JEPA 2.1: 4 to 15 frames, 12 to 36 tokens, 3 to 10 neighbors, temperatures of 0.01 to 0.7
    "published": [
        Propagation(context, radius, k, temperature)
        for context in (4, 7, 15)
        for radius in (12, 24, 36)
        for k in (3, 5, 10)
        for temperature in (0.01, 0.1, 0.2, 0.7)
    ],
}


@dataclass(frozen=True)
class WholeVideo:
    """A video with masks to a view ``[C, T, H, W]`` of all its frames; the extra ``mask`` becomes that of the view.

    Attributes:
        steps: of frames uint8 ``[T, C, H, W]``.
    """

    steps: v2.Transform

    takes_samples: ClassVar[bool] = True

    def __call__(self, sample: Any) -> Any:
        """A ``Sample`` with masks ``[T, H, W]``.

        Raises:
            ValueError: if it has none.
        """
        if not isinstance(sample, Sample) or set(sample.extras or {}) != {MASK}:
            raise ValueError(
                "propagation needs videos with the masks of their frames: give data that have them, such as "
                "PhysicsVideoDataModule with --data.dense true."
            )
        video = as_video(sample.media)
        mask = torch.as_tensor((sample.extras or {})[MASK])
        if video.num_frames < 2 or mask.ndim != 3:
            raise ValueError("propagation needs videos of several frames, and one has one: leave the protocol out.")
        frames, masks = self.steps(video.read(list(range(video.num_frames))), tv_tensors.Mask(mask))
        return sample._replace(media=[frames.transpose(0, 1)], extras={MASK: masks})


def whole_video_pipeline(module: Any) -> Pipeline:
    """All frames of a video, each as a module is shown images.

    Args:
        module: has ``image_size``, ``mean`` and ``std``.
    """
    view = WholeVideo(to_tensor(eval_steps(module.image_size), module.mean, module.std, frames=True))
    return Pipeline(view, view, Collate())


class _Video(NamedTuple):
    """Tokens ``[T, N, D]``, rows and columns of these, and masks ``[T, H, W]``."""

    tokens: Tensor
    grid: tuple[int, ...]
    masks: Tensor


def propagation(subject: Subject, train: Iterable[Any], test: Iterable[Any], settings: Settings) -> dict[str, Record]:
    """J&F of the objects of the first frame, in all later ones, averaged over objects and then over videos.

    Each frame is encoded by itself; nothing is trained. The number of frames, the neighborhood, the number of neighbors
    and the temperature are those that do best on 16 training videos.

    Args:
        subject: whose tokens are compared.
        train: batches of ``whole_video_pipeline``.
        test: batches of the same.
        settings: of all protocols.

    Returns:
        One record, with an interval over videos.

    Raises:
        ValueError: if no video has an object in its first frame.
    """
    some = [video for video, _ in zip(_videos(subject, train, settings), range(CHOSEN_ON), strict=False)]
    options = GRIDS[settings.grid]
    validation = [_mean([_scores(video, each) for video in some]) for each in options]
    best = options[validation.index(max(validation))]
    found = [scores for video in _videos(subject, test, settings) if (scores := _scores(video, best)) is not None]
    if not found:
        raise ValueError("no test video has an object in its first frame, so that there is nothing to carry on.")
    j, f = torch.tensor(found, dtype=torch.double).unbind(1)
    both = (j + f) / 2
    weights = draw_weights(len(both), settings.seed)
    ends = ((weights @ both) / weights.sum(dim=1)).quantile(
        torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.double)
    )
    record = {
        "j_and_f": float(both.mean()),
        "interval": ends.tolist(),
        "j": float(j.mean()),
        "f": float(f.mean()),
        "samples": len(found),
        "validation": max(validation),
        **asdict(best),
    }
    return {MASK: record}


def _videos(subject: Subject, batches: Iterable[Any], settings: Settings) -> Iterator[_Video]:
    for batch in batches:
        for clip, masks in zip(batch.views[0], batch.extras[MASK], strict=True):
            frames = clip.transpose(0, 1)
            tokens = torch.cat([subject.tokens([part]) for part in torch.split(frames, 16)])
            grid = subject.grid(frames[:1], tokens.shape[1])
            yield _Video(tokens.to(settings.device), grid, masks.to(settings.device))


def _scores(video: _Video, options: Propagation) -> tuple[float, float] | None:
    """J and F of a video; None where its first frame has no object."""
    size = video.masks.shape[1:]
    objects = [number for number in torch.unique(video.masks[0]).tolist() if number]
    if not objects:
        return None
    first = torch.stack([video.masks[0] == number for number in (0, *objects)]).float()
    # what is not among the objects of the first frame is background
    first[0] = 1 - first[1:].sum(dim=0)
    labels = F.adaptive_avg_pool2d(first[None], (video.grid[0], video.grid[1]))[0].flatten(1).T
    shares = propagate(video.tokens, labels, video.grid, options)
    maps = shares.transpose(1, 2).reshape(len(shares), len(first), *video.grid)
    found = F.interpolate(maps, size, mode="bilinear").argmax(dim=1)[1:]
    each = [
        (region_similarity(found == place, truth), contour_accuracy(found == place, truth))
        for place, truth in ((place + 1, video.masks[1:] == number) for place, number in enumerate(objects))
    ]
    j, f = (torch.stack(list(values)).mean().item() for values in zip(*each, strict=True))
    return j, f


def _mean(scores: Sequence[tuple[float, float] | None]) -> float:
    known = [sum(each) / 2 for each in scores if each is not None]
    if not known:
        raise ValueError(
            f"none of {len(scores)} training videos has an object in its first frame, so that there is nothing to "
            "carry on: give videos with masks of objects."
        )
    return sum(known) / len(known)
