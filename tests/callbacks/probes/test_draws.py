import os
import random
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from jepa_lightning.callbacks.probes.draws import drawn
from jepa_lightning.data.draws import DrawSampler

NUMBERS: Any = range(50)


def rows(batches: Any) -> list[int]:
    return [int(row) for batch in batches for row in batch]


def test_a_fixed_draw_is_shared_by_ranks_and_leaves_the_loader_alone() -> None:
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(NUMBERS, 8, shuffle=True, generator=generator)
    before = generator.get_state()
    whole = rows(drawn("X", loader, 20))
    parts = [rows(drawn("X", loader, 20, rank, 2)) for rank in range(2)]
    assert len(set(whole)) == 20
    assert sorted(parts[0] + parts[1]) == sorted(whole)
    assert rows(drawn("X", loader, 20)) == whole
    assert torch.equal(generator.get_state(), before)


class Odd(Sampler[Any]):
    """Odd numbers from a shuffled order, as tensors, in an order of three generators that differs in each epoch."""

    def __init__(self, endless: bool = False) -> None:
        self.endless, self.epochs = endless, 0

    def __iter__(self) -> Iterator[Any]:
        self.epochs += 1
        while True:
            order = [2 * random.randrange(25) + 1, 2 * int(np.random.randint(25)) + 1]  # noqa: NPY002
            yield from (torch.tensor(number) for number in [*order, *(2 * torch.randperm(25) + 1).tolist()])
            if not self.endless:
                return


class SizedOdd(Odd):
    """Says how long an epoch is, and goes on after it."""

    def __len__(self) -> int:
        return 27


class Batches(Sampler[list[int]]):
    """A batch sampler of one's own."""

    def __iter__(self) -> Iterator[list[int]]:
        return iter([[1, 3], [5], [7, 9, 11]])


WEIGHTS = [float(number < 10) for number in NUMBERS]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"sampler": SubsetRandomSampler(range(10))}, range(10)),
        ({"sampler": list(range(10, 20))}, range(10, 20)),
        ({"sampler": RandomSampler(range(10))}, range(10)),
        ({"sampler": WeightedRandomSampler(WEIGHTS, 200)}, range(10)),
        ({"sampler": WeightedRandomSampler(WEIGHTS, 200, generator=torch.Generator())}, range(10)),
        ({"sampler": Odd()}, range(1, 50, 2)),
        ({"sampler": Odd(endless=True)}, range(1, 50, 2)),
        ({"sampler": SizedOdd(endless=True)}, range(1, 50, 2)),
        ({"batch_sampler": BatchSampler(SubsetRandomSampler(range(10)), 4, drop_last=True)}, range(10)),
        ({"batch_sampler": Batches()}, [1, 3, 5, 7, 9, 11]),
    ],
)  # fmt: skip
def test_samples_that_the_sampler_leaves_out_are_not_drawn(options: Any, kept: Any) -> None:
    loader = DataLoader(NUMBERS, **options)
    sampler = options.get("sampler") or options["batch_sampler"]
    state = torch.get_rng_state(), random.getstate()
    many, few = drawn("X", loader, 40), drawn("X", loader, 5)
    # neither the sampler nor what it draws from has moved
    assert torch.equal(torch.get_rng_state(), state[0])
    assert random.getstate() == state[1]
    assert getattr(sampler, "epochs", 0) == 0
    if (generator := getattr(sampler, "generator", None)) is not None:
        assert torch.equal(generator.get_state(), torch.Generator().get_state())
    assert sorted(rows(many)) == list(kept)
    some = rows(few)
    assert len(set(some)) == 5
    assert set(some) <= set(kept)
    assert some != sorted(some)
    # training draws from it in between
    next(iter(sampler)), torch.rand(3), random.random()
    assert rows(drawn("X", loader, 5)) == some


def test_samplers_of_this_package_are_not_iterated() -> None:
    class Fetches(DrawSampler):
        def __iter__(self) -> Any:
            raise AssertionError("iterated")

    loader = DataLoader(NUMBERS, 8, sampler=Fetches(NUMBERS, 2, 0))
    assert sorted(rows(drawn("X", loader, 99))) == list(NUMBERS)


def test_a_weighted_draw_is_the_same_in_each_call() -> None:
    for generator in (None, torch.Generator().manual_seed(5)):
        sampler = WeightedRandomSampler([1.0] * 50, 8, generator=generator)
        loader = DataLoader(NUMBERS, 4, sampler=sampler)
        first = rows(drawn("X", loader, 40))
        assert len(set(first)) == len(first) <= 8
        list(sampler)
        assert rows(drawn("X", loader, 40)) == first


def test_keys_that_are_no_numbers() -> None:
    table: Any = {"a": 1, "b": 2, "c": 3}
    assert sorted(rows(drawn("X", DataLoader(table, 2, sampler=["a", "c", "a"]), 9))) == [1, 3]


def test_data_sets_that_give_whole_batches() -> None:
    batches: Any = [torch.tensor([3 * i, 3 * i + 1, 3 * i + 2]) for i in range(8)]
    loader = DataLoader(batches, batch_size=None, sampler=SubsetRandomSampler(range(4)))
    assert sorted(rows(drawn("X", loader, 40))) == list(range(12))
    parts = [rows(drawn("X", loader, 40, rank, 2)) for rank in range(2)]
    assert sorted(parts[0] + parts[1]) == list(range(12))


def test_the_data_set_is_not_copied_and_a_sampler_that_cannot_be_is_refused() -> None:
    class Held(Sampler[int]):
        def __init__(self, held: Any) -> None:
            self.held = held

        def __iter__(self) -> Iterator[int]:
            return iter(range(3))

    class Once(list[int]):
        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("copied")

    data: Any = Once(range(10))
    assert sorted(rows(drawn("X", DataLoader(data, 2, sampler=Held(data)), 9))) == [0, 1, 2]
    with pytest.raises(MisconfigurationException, match=r"X draws .* Held yields, .* give the DataModule a mem"):
        drawn("X", DataLoader(data, 2, sampler=Held(x for x in "ab")), 9)


def test_workers_start_as_those_of_the_loader() -> None:
    loader = DataLoader(NUMBERS, 8, worker_init_fn=print, num_workers=1, multiprocessing_context="spawn")
    found: Any = drawn("X", loader, 20)
    assert (found.num_workers, found.worker_init_fn) == (1, print)
    assert found.multiprocessing_context.get_start_method() == "spawn"


class Stream(IterableDataset[int]):
    def __iter__(self) -> Any:
        return iter(range(12))


def test_streams_and_lists_give_what_they_have_and_iterators_are_refused() -> None:
    assert rows(drawn("X", DataLoader(Stream(), 4), 5)) == list(range(12))
    assert rows(drawn("X", [[1, 2], [3]], 5)) == [1, 2, 3]
    with pytest.raises(MisconfigurationException, match=r"X takes samples .* list_iterator can be iterated only once"):
        drawn("X", iter([[1]]), 5)


SCRIPT = """
import sys
import torch
from lightning.pytorch import Trainer
from torch.utils.data import DataLoader, SubsetRandomSampler, WeightedRandomSampler
from plain import Plain, samples
from jepa_lightning.callbacks import OnlineKNN, ProbeReport

folder, ranks, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3]

class Part(list):
    read = []
    def __getitem__(self, index):
        assert index % 2 == 0, f"sample {index} is left out"
        Part.read.append(index)
        return super().__getitem__(index)

def watched(callback, hook):
    usual = getattr(callback, hook)
    def inner(*args):
        Part.read.clear()
        usual(*args)
        read[type(callback).__name__ + "." + hook] = list(Part.read)
    setattr(callback, hook, inner)

read = {}
knn, report = OnlineKNN(k=5, max_samples=30, features="backbone", num_classes=3), ProbeReport(30, features="backbone")
watched(knn, "on_validation_epoch_start"), watched(report, "on_train_start"), watched(report, "on_train_end")
evens = list(range(0, 48, 2))
weights = [float(index in evens) for index in range(48)]
sampler = SubsetRandomSampler(evens) if kind == "subset" else WeightedRandomSampler(weights, 200)
torch.manual_seed(0)
trainer = Trainer(
    accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto", logger=False, max_epochs=2,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    callbacks=[knn, report], num_sanity_val_steps=0,
)
trainer.fit(Plain(), DataLoader(Part(samples(48)), 4, sampler=sampler), DataLoader(samples(24, 1), 8))
torch.save({"read": read, "report": report.accuracy}, f"{folder}/{trainer.global_rank}.pt")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "ranks"), [("subset", 1), ("subset", 2), ("weights", 2)])
def test_bank_and_report_keep_to_the_sampler_on_one_and_two_ranks(tmp_path: Path, kind: str, ranks: int) -> None:
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *(path for path in sys.path if path)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, tmp_path, str(ranks), kind], env=environment, check=True, timeout=300)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(ranks)]
    evens = list(range(0, 48, 2))
    # each rank encodes its share of the bank, and all samples of the report, once for pixels and once for features
    banks = [each["read"]["OnlineKNN.on_validation_epoch_start"] for each in found]
    assert sorted(chain.from_iterable(banks)) == evens
    for each in found:
        assert sorted(each["read"]["ProbeReport.on_train_start"]) == sorted(evens + evens)
        assert sorted(each["read"]["ProbeReport.on_train_end"]) == evens
    assert all(each["report"] == found[0]["report"] for each in found)
