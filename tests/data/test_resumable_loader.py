from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from jepa_lightning.data.draws import DrawSampler
from jepa_lightning.data.resumable_loader import ResumableDataLoader


def samples_of(draws: Any) -> list[int]:
    return [draw.sample for draw in draws]


class Plain(TensorDataset):
    """Gives the draws themselves."""

    def __getitem__(self, draw: Any) -> Any:
        return draw


def loader(ranks: int = 1, epoch: int = 0, size: int = 2) -> ResumableDataLoader:
    data = Plain(torch.zeros(12))
    sampler = DrawSampler(data, num_replicas=ranks, rank=0, shuffle=True, seed=0, drop_last=True)
    sampler.set_epoch(epoch)
    return ResumableDataLoader(data, sampler=sampler, batch_size=size, collate_fn=samples_of, drop_last=True)


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_state_counts_the_samples_of_all_ranks(ranks: int) -> None:
    source = loader(ranks, epoch=3)
    batches = iter(source)
    next(batches), next(batches)
    assert source.state_dict() == {"epoch": 3, "samples": 4 * ranks, "step": 2 * ranks, "ranks": ranks}
    list(batches)
    assert source.state_dict()["samples"] == 0


def test_a_restored_loader_gives_the_rest_of_that_epoch_alone() -> None:
    whole, source = list(loader(epoch=3)), loader(epoch=3)
    source.load_state_dict({"epoch": 3, "samples": 4, "step": 2, "ranks": 1})
    assert list(source) == whole[2:]
    assert list(source) == whole
    other = loader(epoch=4)
    other.load_state_dict({"epoch": 3, "samples": 4, "step": 2, "ranks": 1})
    assert len(list(other)) == 6


def test_another_number_of_samples_a_step_is_named() -> None:
    with pytest.warns(UserWarning, match="with 3 samples a step, and had 2"):
        loader(size=3).load_state_dict({"epoch": 0, "samples": 4, "step": 2, "ranks": 1})
