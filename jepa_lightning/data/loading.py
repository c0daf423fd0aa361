"""A loader whose every random draw follows from (seed, epoch, index), and which resumes in the middle of an epoch.

So a batch can be replayed, the number of workers changes nothing, and a resumed run sees what an undisturbed one sees.
"""

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from jepa_lightning.data.draws import DrawSampler
from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.resumable_loader import ResumableDataLoader
from jepa_lightning.data.seeded_samples import SeededCollate, SeededViews


def seeded_loader(
    source: Dataset[Any],
    pipeline: Pipeline,
    *,
    train: bool,
    shuffle: bool,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    sampler_class: type[DrawSampler] = DrawSampler,
    **options: Any,
) -> DataLoader[Any]:
    """A loader over a data set of (image, labels, path).

    Args:
        source: gives the samples.
        pipeline: gives transform and collate.
        train: use the training views, drop the last incomplete batch and resume in the middle of an epoch.
        shuffle: draw a new order every epoch.
        seed: of the order, the views and the masks.
        rank: of this process among those that share the samples.
        world_size: number of those.
        sampler_class: gives the order.
        options: passed on to the DataLoader.
    """
    # an incomplete last round of the ranks is dropped in training; elsewhere they repeat samples to have equally many
    sampler = sampler_class(source, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed, drop_last=train)
    loader = ResumableDataLoader if train else DataLoader
    views = SeededViews(source, pipeline.transform if train else pipeline.eval_transform)
    return loader(
        views,
        sampler=sampler,
        collate_fn=SeededCollate(pipeline.collate, views.stand_in, fill=train or world_size > 1),
        drop_last=train,
        # else every epoch takes a number from the generator of the model
        generator=torch.Generator().manual_seed(seed),
        **options,
    )
