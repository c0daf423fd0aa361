from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from jepa_lightning.data.collate import Collate
from jepa_lightning.data.draws import SampleDraw
from jepa_lightning.data.seeded_samples import SeededCollate, SeededViews
from jepa_lightning.data.videos.video import UnreadableVideoError


class Numbers(Dataset[Any]):
    """Of which 1 cannot be read."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return None if index == 1 else (index, index, str(index))


def noise(number: int) -> torch.Tensor:
    if number == 2:
        raise UnreadableVideoError
    return number + torch.rand(1, 1, 1)


VIEWS = SeededViews(Numbers(), noise)


def test_a_view_follows_from_its_seed_and_the_global_generator_stays() -> None:
    before = torch.get_rng_state()
    first, second = VIEWS[SampleDraw(3, 5, 0)][1], VIEWS[SampleDraw(3, 5, 9)][1]
    assert torch.equal(first[0], second[0])
    assert not torch.equal(VIEWS[SampleDraw(3, 6, 0)][1][0], first[0])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[0], 3 + torch.rand(1, 1, 1, generator=torch.Generator().manual_seed(5)))


def test_what_cannot_be_read_or_decoded_is_none_and_the_next_sample_stands_in() -> None:
    draws = [SampleDraw(i, i, 0) for i in range(4)]
    assert [VIEWS[draw][1] is None for draw in draws] == [False, True, True, False]
    assert [VIEWS.stand_in(draw)[1] for draw in draws] == [3, 3, 3, 0]


@pytest.mark.parametrize("fill", [False, True])
def test_batches_keep_their_size_where_they_are_filled(fill: bool) -> None:
    collate = SeededCollate(Collate(), VIEWS.stand_in, fill)
    batch = collate([VIEWS[SampleDraw(i, i, 0)] for i in range(4)])
    assert (batch.indices, batch.labels.tolist()) == ((0, 3, -1, -1), [0, 3, -1, -1]) if fill else ((0, 3), [0, 3])
    none = collate([VIEWS[SampleDraw(i, i, 0)] for i in (1, 2)])
    assert (none.indices, none.labels.tolist()) == ((-1,) * (1 + fill), [-1] * (1 + fill))
