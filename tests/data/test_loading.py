from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, Dataset, StackDataset

from jepa_lightning.data.collate import Collate
from jepa_lightning.data.draws import DrawSampler
from jepa_lightning.data.loading import seeded_loader
from jepa_lightning.data.pipelines import Pipeline, masked_image_pipeline
from jepa_lightning.data.procedural.shapes import ShapesDataset
from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.types import Batch


class Scenes(Dataset[Any]):
    """Scenes with their index as label; some cannot be read."""

    def __init__(self, size: int = 22, unreadable: tuple[int, ...] = ()) -> None:
        self.scenes = ShapesDataset(size, image_size=32)
        self.unreadable = unreadable

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Any:
        return None if index in self.unreadable else (self.scenes[index][0], index, f"scene {index}")


def pipeline() -> Pipeline:
    return masked_image_pipeline((24, 24), MultiBlockMask((6, 6), min_keep=2), flip=True)


def loader(
    source: Dataset[Any] | None = None, train: bool = True, seed: int = 0, num_workers: int = 0, **options: Any
) -> Any:
    return seeded_loader(
        source or Scenes(),
        pipeline(),
        train=train,
        shuffle=train,
        seed=seed,
        num_workers=num_workers,
        **{"batch_size": 4, **options},
    )


def equal(first: Batch, second: Batch) -> bool:
    assert isinstance(first.labels, torch.Tensor)
    assert isinstance(second.labels, torch.Tensor)
    return (
        torch.equal(first.views[0], second.views[0])
        and torch.equal(first.masks[0].context, second.masks[0].context)
        and torch.equal(first.masks[0].target, second.masks[0].target)
        and torch.equal(first.labels, second.labels)
        and first.paths == second.paths
    )


def all_equal(first: Iterable[Batch], second: Iterable[Batch]) -> bool:
    return all(equal(a, b) for a, b in zip(first, second, strict=True))


def labels(batches: Iterable[Any]) -> list[int]:
    return [int(label) for batch in batches for label in batch.labels]


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_number_of_workers_changes_nothing(num_workers: int) -> None:
    assert all_equal(loader(), loader(num_workers=num_workers))


def test_an_epoch_has_each_sample_at_most_once_in_full_batches() -> None:
    seen = labels(loader())
    assert len(seen) == len(set(seen)) == 20
    assert seen != sorted(seen)


def test_validation_has_all_samples_in_order_and_the_same_every_time() -> None:
    validation = loader(train=False)
    first = list(validation)
    validation.sampler.set_epoch(1)
    assert labels(first) == list(range(22))
    assert all_equal(first, validation)


def test_views_and_masks_of_a_batch_follow_from_seed_and_epoch() -> None:
    first = list(loader())
    torch.manual_seed(1234)
    assert all_equal(first, loader())
    assert not equal(first[0], next(iter(loader(seed=1))))


def test_another_epoch_has_another_order_other_views_and_other_masks() -> None:
    train = loader()
    first = list(train)
    train.sampler.set_epoch(1)
    second = list(train)
    assert labels(first) != labels(second)

    def view(batches: list[Batch], label: int) -> torch.Tensor:
        return next(batch.views[0][i] for batch in batches for i in range(4) if batch.labels[i] == label)  # type: ignore[index]

    label = next(label for label in labels(first) if label in labels(second))
    assert not torch.equal(view(first, label), view(second, label))
    assert not torch.equal(first[0].masks[0].target, second[0].masks[0].target)
    train.sampler.set_epoch(0)
    assert all_equal(first, train)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("train", [True, False])
def test_loading_leaves_the_global_generator_alone(num_workers: int, train: bool) -> None:
    state = torch.get_rng_state()
    list(loader(train=train, num_workers=num_workers))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("num_workers", "taken"), [(0, 1), (0, 4), (2, 3)])
def test_resuming_gives_exactly_the_rest_of_the_epoch(num_workers: int, taken: int) -> None:
    train = loader(num_workers=num_workers)
    train.sampler.set_epoch(2)
    batches = iter(train)
    for _ in range(taken):
        next(batches)
    state = train.state_dict()
    rest = list(batches)
    resumed = loader(num_workers=num_workers)
    resumed.load_state_dict(state)
    resumed.sampler.set_epoch(2)
    assert len(rest) == 5 - taken
    assert all_equal(rest, resumed)
    assert len(list(resumed)) == 5  # only the first epoch is cut short


def test_a_state_in_a_resumed_epoch_counts_from_its_start() -> None:
    resumed = loader()
    resumed.load_state_dict({"epoch": 0, "samples": 8, "step": 4, "ranks": 1})
    next(iter(resumed))
    assert resumed.state_dict() == {"epoch": 0, "samples": 12, "step": 4, "ranks": 1}


def test_a_state_at_the_last_batch_resumes_at_the_start_of_the_next_epoch() -> None:
    train = loader()
    for _ in zip(range(5), train, strict=False):
        state = train.state_dict()
    assert state == {"epoch": 0, "samples": 0, "step": 4, "ranks": 1}
    resumed = loader()
    resumed.load_state_dict(state)
    for epoch_loader in (train, resumed):
        epoch_loader.sampler.set_epoch(1)
    assert len(list(resumed)) == 5
    assert all_equal(train, resumed)


def test_an_epoch_left_in_its_middle_does_not_shorten_the_next() -> None:
    train = loader()
    next(iter(train))
    resumed = loader()
    resumed.load_state_dict(train.state_dict())
    resumed.sampler.set_epoch(1)
    assert len(list(resumed)) == 5


@pytest.mark.parametrize(("size", "each"), [(24, 12), (23, 8)])
def test_ranks_share_the_samples(size: int, each: int) -> None:
    ranks = [set(labels(loader(Scenes(size), rank=rank, world_size=2))) for rank in range(2)]
    assert not ranks[0] & ranks[1]
    assert len(ranks[0]) == len(ranks[1]) == each
    validation = [labels(loader(Scenes(size), train=False, rank=rank, world_size=2)) for rank in range(2)]
    assert set(validation[0]) | set(validation[1]) == set(range(size))


def ranks_of(world_size: int, size: int = 24, **options: Any) -> list[Any]:
    """The loaders of all ranks, with 4 samples a step in all."""
    loaders = [
        loader(Scenes(size), batch_size=4 // world_size, rank=rank, world_size=world_size, **options)
        for rank in range(world_size)
    ]
    for each in loaders:
        each.sampler.set_epoch(3)
    return loaders


@pytest.mark.parametrize("size", [24, 23])
def test_steps_have_the_same_samples_and_views_for_any_number_of_ranks(size: int) -> None:
    def steps(world_size: int) -> list[dict[int, float]]:
        return [
            {int(label): float(view.sum()) for b in step for label, view in zip(b.labels, b.views[0], strict=True)}
            for step in zip(*ranks_of(world_size, size), strict=True)
        ]

    assert steps(1) == steps(2) == steps(4)
    assert len(steps(1)) == size // 4


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2), (4, 2)])
def test_a_run_continues_with_another_number_of_ranks(before: int, after: int) -> None:
    undisturbed = [set(labels(step)) for step in zip(*ranks_of(1), strict=True)]
    first, rest = ranks_of(before), ranks_of(after)
    for each in first:
        batches = iter(each)
        next(batches), next(batches)
    for each in rest:
        each.load_state_dict(first[0].state_dict())
    assert [set(labels(step)) for step in zip(*rest, strict=True)] == undisturbed[2:]


def test_another_number_of_samples_a_step_is_said() -> None:
    first, other = loader(), loader(batch_size=2)
    next(iter(first))
    with pytest.warns(UserWarning, match="resumes with 2 samples a step, and had 4"):
        other.load_state_dict(first.state_dict())
    assert labels(other) == labels(loader(batch_size=2))[4:]


def test_ranks_draw_blocks_of_one_size_at_places_of_their_own() -> None:
    sizes = set()
    for first, second in zip(*ranks_of(2), strict=True):
        one, other = (batch.masks[0].target for batch in (first, second))
        assert one.shape == other.shape
        assert not torch.equal(one, other)
        # rows and columns of a block, wherever it is
        shapes = [{tuple((block - block[0]).tolist()) for block in masks.flatten(0, 1)} for masks in (one, other)]
        assert shapes[0] == shapes[1]
        assert len(shapes[0]) == 1
        sizes |= shapes[0]
    assert len(sizes) > 1


def test_batches_of_several_ranks_keep_their_size_where_an_image_cannot_be_read() -> None:
    whole = list(loader(train=False, world_size=2))
    batches = list(loader(Scenes(unreadable=(2,)), train=False, world_size=2))
    # the third scene is the second of the first rank, after which the first one stands again, without a label
    assert batches[0].labels.tolist() == [0, 4, 6, -1]
    assert batches[0].indices == (0, 4, 6, -1)
    assert batches[1].indices == (8, 10, 12, 14)
    assert torch.equal(batches[0].views[0], whole[0].views[0][[0, 2, 3, 0]])
    assert torch.equal(batches[1].views[0], whole[1].views[0])


def test_unreadable_images_are_left_out() -> None:
    whole = list(loader(train=False))
    batches = list(loader(Scenes(unreadable=(0, 5)), train=False))
    assert labels(batches) == [i for i in range(22) if i not in (0, 5)]
    assert batches[0].views[0].shape[0] == batches[0].masks[0].target.shape[0] == 3
    assert torch.equal(batches[0].views[0], whole[0].views[0][1:])
    assert batches[0].paths == ("scene 1", "scene 2", "scene 3")
    assert [i for batch in batches for i in batch.indices] == labels(batches)


class Labeled(Scenes):
    """Scenes with a label that is no class index; one of the first batch cannot be read."""

    def __init__(self, label: Any) -> None:
        super().__init__(8, unreadable=(2,))
        self.label = label

    def __getitem__(self, index: int) -> Any:
        sample = super().__getitem__(index)
        return sample and (sample[0], self.label, None)


@pytest.mark.parametrize(("label", "filled"), [(0.5, float("nan")), ([0, 1], [-1, -1]), ({"a": 0.5}, float("nan"))])
def test_a_repeated_sample_is_unlabeled_in_the_way_of_its_label(label: Any, filled: Any) -> None:
    (batch,) = loader(Labeled(label), train=False, world_size=2)
    found = batch.labels["a"] if isinstance(label, dict) else batch.labels
    torch.testing.assert_close(found[-1], torch.tensor(filled), equal_nan=True)
    assert not found[:-1].isnan().any()


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_another_sample_stands_in_for_a_batch_that_cannot_be_read(
    training: bool, world_size: int, batch_size: int
) -> None:
    options = {"train": training, "batch_size": batch_size, "world_size": world_size}
    whole = list(loader(Scenes(), **options))
    bad = tuple(whole[0].labels.tolist())
    batches = list(loader(Scenes(unreadable=bad), **options))
    assert len(batches) == len(whole)
    assert set(batches[0].labels.tolist()) == set(batches[0].indices) == {-1}
    assert not {f"scene {i}" for i in bad} & set(batches[0].paths)
    assert len(batches[0].labels) == (batch_size if training or world_size > 1 else 1)
    for batch, expected in zip(batches[1:], whole[1:], strict=True):
        assert torch.equal(batch.views[0], expected.views[0])


def test_a_data_set_without_a_readable_image_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="none of the 8 samples could be read"):
        list(loader(Scenes(8, unreadable=tuple(range(8))), train=False))


def test_masks_of_a_batch_do_not_follow_from_the_seed_of_its_first_view() -> None:
    numbers = Pipeline(lambda _: [torch.rand(1)], lambda _: [torch.rand(1)], WithNumber())
    for batch in seeded_loader(Scenes(), numbers, train=True, shuffle=True, seed=0, batch_size=4):
        drawn, views = batch.views
        assert not torch.isin(drawn, views).any()


class WithNumber(Collate):
    """Draws a number where masks are drawn, as the first view of the batch."""

    def __call__(self, samples: Any, sizes: Any = None) -> Batch:
        batch = super().__call__(samples)
        return batch._replace(views=[torch.rand(1), *batch.views])


def test_no_two_places_of_an_epoch_share_the_seed_of_sizes() -> None:
    draws = list(DrawSampler(Scenes(), num_replicas=1, rank=0, shuffle=True, seed=0))
    assert len({draw.shared for draw in draws}) == len(draws) == 22


class Recorder(LightningModule):
    """Trains nothing, and notes what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, ...]] = []

    def training_step(self, batch: Batch) -> torch.Tensor:
        assert isinstance(batch.labels, torch.Tensor)
        view, masks = batch.views[0], batch.masks[0]
        self.seen.append((*batch.labels.tolist(), int(view.mul(1e4).long().sum()), int(masks.target.sum())))
        return self.weight.square()

    def validation_step(self, batch: Batch) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(folder: Path, ckpt_path: Path | None = None, num_workers: int = 0, **options: Any) -> list[tuple[int, ...]]:
    module = Recorder()
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)],
        **options,
    )
    loaders = loader(num_workers=num_workers, persistent_workers=num_workers > 0), loader(train=False)
    trainer.fit(module, *loaders, ckpt_path=ckpt_path)
    return module.seen


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize(
    ("options", "per_epoch"),
    [({}, 5), ({"limit_train_batches": 3}, 3), ({"val_check_interval": 2}, 5), ({"num_workers": 1}, 5)],
    ids=["whole epochs", "parts of epochs", "validation in between", "workers"],
)
def test_a_trainer_resumed_at_any_step_sees_what_an_undisturbed_one_sees(
    tmp_path: Path, options: dict[str, Any], per_epoch: int
) -> None:
    undisturbed = train(tmp_path / "first", **options)
    assert len(set(undisturbed)) == len(undisturbed) == 3 * per_epoch
    for step in (1, per_epoch - 1, per_epoch, per_epoch + 1, 2 * per_epoch):
        resumed = train(tmp_path / str(step), tmp_path / "first" / f"step={step}.ckpt", **options)
        assert resumed == undisturbed[step:], f"resumed at step {step}"


@pytest.mark.filterwarnings("ignore:You requested to overfit")
def test_overfit_batches_repeats_the_same_batches(tmp_path: Path) -> None:
    seen = train(tmp_path, overfit_batches=2)
    assert len(seen) == 6
    assert seen[:2] == seen[2:4] == seen[4:]


def test_an_ordinary_loader_works_with_the_pipeline_of_a_module() -> None:
    """What a user without our DataModules writes."""
    images = pipeline()
    dataset = StackDataset([images.transform(image) for image, *_ in ShapesDataset(4)], [3, 1, 4, 1])
    batch = next(iter(DataLoader(dataset, batch_size=4, collate_fn=images.collate)))
    assert batch.views[0].shape == (4, 3, 24, 24)
    assert batch.labels.tolist() == [3, 1, 4, 1]
    assert batch.masks[0].context.shape[0] == 4


class FullSharedMemory(Scenes):
    """Scenes of a worker that finds no shared memory from the third batch on."""

    def __getitem__(self, index: int) -> Any:
        if index == 8:
            for name in ("_share_fd_cpu_", "_share_filename_cpu_"):
                setattr(torch.UntypedStorage, name, no_memory_beyond(getattr(torch.UntypedStorage, name)))
        return super().__getitem__(index)


def no_memory_beyond(share: Callable[..., Any]) -> Callable[..., Any]:
    def share_again(storage: torch.UntypedStorage, *args: Any) -> Any:
        # an earlier batch, whose memory is already shared, may still be on its way to the main process
        if storage.is_shared():
            return share(storage, *args)
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    return share_again


def test_a_worker_that_finds_no_shared_memory_ends_the_run_and_does_not_hang() -> None:
    batches = iter(loader(FullSharedMemory(), train=False, num_workers=1, timeout=60))
    assert len(next(batches).paths) == 4
    with pytest.raises(RuntimeError, match="unable to allocate shared memory"):
        list(batches)
