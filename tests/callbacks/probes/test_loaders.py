from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler

from jepa_lightning.callbacks.probes.loaders import drawn, first_loader


def rows(batches: Any) -> list[int]:
    return [int(row) for batch in batches for row in batch]


def test_a_fixed_draw_is_shared_by_ranks_and_leaves_the_loader_alone() -> None:
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(range(50), 8, shuffle=True, generator=generator)  # type: ignore[arg-type]
    before = generator.get_state()
    whole = rows(drawn("X", loader, 20))
    parts = [rows(drawn("X", loader, 20, rank, 2)) for rank in range(2)]
    assert len(set(whole)) == 20
    assert sorted(parts[0] + parts[1]) == sorted(whole)
    assert rows(drawn("X", loader, 20)) == whole
    assert torch.equal(generator.get_state(), before)


def test_a_sampler_of_a_part_is_kept_to() -> None:
    loader = DataLoader(range(50), 8, sampler=SubsetRandomSampler(range(10)))  # type: ignore[arg-type]
    assert sorted(rows(drawn("X", loader, 20))) == list(range(10))


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(12))


def test_streams_and_lists_give_what_they_have_and_iterators_are_refused() -> None:
    assert rows(drawn("X", DataLoader(Stream(), 4), 5)) == list(range(12))
    assert rows(drawn("X", [[1, 2], [3]], 5)) == [1, 2, 3]
    with pytest.raises(MisconfigurationException, match=r"X takes samples .* list_iterator can be iterated only once"):
        drawn("X", iter([[1]]), 5)


def test_the_first_of_several_loaders() -> None:
    first, second = DataLoader([1]), DataLoader([2])  # type: ignore[arg-type]
    assert first_loader([first, second]) is first
    assert first_loader({"a": second, "b": [first]}) is second
