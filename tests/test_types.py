import copy
import pickle

import pytest
import torch
from lightning.fabric.utilities import move_data_to_device

from jepa_lightning.types import Batch, Masks

ROWS = torch.arange(4)
FULL = Batch(
    [torch.randn(4, 3, 2, 2), torch.randn(4, 3, 2, 2)],
    (Masks(torch.randint(9, (4, 3)), torch.randint(9, (4, 2, 2))), Masks(ROWS[:, None], ROWS[:, None, None])),
    {"a": ROWS, "b": torch.randn(4, 2)},
    ("a", "b", "c", "d"),
    (0, 1, 2, -1),
    {"actions": torch.randn(4, 5, 2), "states": torch.randn(4, 6, 3)},
)


def same(first: object, second: object) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)  # type: ignore[arg-type]
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)  # type: ignore
    if isinstance(first, (list, tuple)) and not isinstance(first, str):
        return len(first) == len(second) and all(map(same, first, second))  # type: ignore[arg-type]
    return first == second


@pytest.mark.parametrize("number", [0, 1, 3, 4, 9])
def test_take_gives_the_first_samples_of_every_field(number: int) -> None:
    taken = FULL.take(number)
    left = FULL._asdict().keys() - {"views", "masks", "labels", "paths", "indices", "extras"}
    assert not left, "take knows every field"
    for view, whole in zip(taken.views, FULL.views, strict=True):
        assert torch.equal(view, whole[:number])
    for mask, kept in zip(taken.masks, FULL.masks, strict=True):
        assert torch.equal(mask.context, kept.context[:number])
        assert torch.equal(mask.target, kept.target[:number])
    for name in ("a", "b"):
        assert torch.equal(taken.labels[name], FULL.labels[name][:number])  # type: ignore[index, call-overload]
    assert (taken.paths, taken.indices) == (FULL.paths[:number], FULL.indices[:number])
    for name in ("actions", "states"):
        assert torch.equal(taken.extras[name], FULL.extras[name][:number])


def test_take_keeps_what_is_not_there() -> None:
    bare = Batch([torch.zeros(4, 1)]).take(2)
    assert (bare.masks, bare.labels, bare.paths, bare.indices, bare.extras) == ((), None, (), (), {})
    assert Batch([torch.zeros(4, 1)], labels=ROWS).take(2).labels.tolist() == [0, 1]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="asked for -1 samples"):
        FULL.take(-1)


def test_batches_do_not_share_extras() -> None:
    first = Batch([])
    for write in (
        lambda: first.extras.update(a=ROWS),
        lambda: first.extras.setdefault("a", ROWS),
        lambda: first.extras.__setitem__("a", ROWS),
        lambda: first.extras.__ior__({"a": ROWS}),
    ):
        with pytest.raises(TypeError, match=r"made without extras: use batch\._replace"):
            write()
    assert Batch([]).extras == {}
    assert first._replace(extras={"a": ROWS}).extras["a"] is ROWS


@pytest.mark.parametrize("batch", [FULL, Batch([torch.zeros(2, 1)])])
def test_batches_move_pickle_and_copy(batch: Batch) -> None:
    for other in (pickle.loads(pickle.dumps(batch)), copy.deepcopy(batch), move_data_to_device(batch, "cpu")):
        assert isinstance(other, Batch)
        assert same(batch, other)
    moved = move_data_to_device(batch, torch.device("meta"))
    assert all(extra.is_meta and extra.shape == batch.extras[name].shape for name, extra in moved.extras.items())
    assert moved.extras.keys() == batch.extras.keys()
