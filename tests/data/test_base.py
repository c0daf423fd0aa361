from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer, seed_everything

from jepa_lightning.data import JEPADataModule, Pipeline, ShapesDataModule, masked_image_pipeline
from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.types import Batch


class Method(LightningModule):
    """Trains nothing, and notes what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: dict[str, list[Batch]] = {"train": [], "val": [], "test": []}

    def pipeline(self) -> Pipeline:
        return masked_image_pipeline((24, 24), MultiBlockMask((6, 6), min_keep=2))

    def training_step(self, batch: Batch) -> torch.Tensor:
        self.seen["train"].append(batch)
        return self.weight.square()

    def validation_step(self, batch: Batch) -> None:
        self.seen["val"].append(batch)

    def test_step(self, batch: Batch) -> None:
        self.seen["test"].append(batch)

    def predict_step(self, batch: Batch) -> Batch:
        return batch

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def shapes(**options: Any) -> ShapesDataModule:
    options = {"num_train": 10, "num_val": 6, "image_size": 24, "batch_size": 4, "num_workers": 0, **options}
    return ShapesDataModule(**options)


def trainer(folder: Path, **options: Any) -> Trainer:
    return Trainer(
        max_epochs=1,
        accelerator="cpu",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def test_training_takes_views_and_masks_from_the_module(tmp_path: Path) -> None:
    method = Method()
    trainer(tmp_path).fit(method, datamodule=shapes())
    assert [tuple(batch.views[0].shape) for batch in method.seen["train"]] == [(4, 3, 24, 24)] * 2
    assert [tuple(batch.views[0].shape) for batch in method.seen["val"]] == [(4, 3, 24, 24), (2, 3, 24, 24)]
    batch = method.seen["train"][0]
    assert batch.masks[0].target.shape[:2] == (4, 4)
    assert isinstance(batch.labels, dict)
    assert {label.shape for label in batch.labels.values()} == {(4,)}


def test_the_seed_of_the_run_gives_order_views_and_masks(tmp_path: Path) -> None:
    def first_batch(seed: int) -> Batch:
        seed_everything(seed, verbose=False)
        method = Method()
        torch.rand(seed)  # what a model draws for its weights must not matter
        trainer(tmp_path).fit(method, datamodule=shapes())
        return method.seen["train"][0]

    first, again, other = first_batch(1), first_batch(1), first_batch(2)
    assert torch.equal(first.views[0], again.views[0])
    assert torch.equal(first.masks[0].target, again.masks[0].target)
    assert not torch.equal(first.views[0], other.views[0])


def test_testing_sees_the_validation_samples(tmp_path: Path) -> None:
    method = Method()
    run = trainer(tmp_path)
    run.validate(method, datamodule=shapes(), verbose=False)
    run.test(method, datamodule=shapes(), verbose=False)
    assert len(method.seen["test"]) == 2
    for validated, tested in zip(method.seen["val"], method.seen["test"], strict=True):
        assert torch.equal(validated.views[0], tested.views[0])


def test_prediction_sees_every_sample_once_training_set_first(tmp_path: Path) -> None:
    data = shapes()
    batches: Any = trainer(tmp_path).predict(Method(), datamodule=data)
    transform = Method().pipeline().eval_transform
    samples = [data.train_set[i] for i in range(10)] + [data.val_set[i] for i in range(6)]
    views = torch.stack([transform(image)[0] for image, *_ in samples])
    assert torch.equal(torch.cat([batch.views[0] for batch in batches]), views)


def test_the_memory_is_the_training_set_in_order_without_chance() -> None:
    data = shapes(pipeline=Method().pipeline())
    data.setup()
    views = torch.cat([batch.views[0] for batch in data.memory_dataloader()])
    transform = data.pipeline.eval_transform
    assert torch.equal(views, torch.stack([transform(data.train_set[i][0])[0] for i in range(10)]))


def test_the_users_pipeline_comes_before_that_of_the_module(tmp_path: Path) -> None:
    own = masked_image_pipeline((16, 16), MultiBlockMask((4, 4), min_keep=2))
    method = Method()
    trainer(tmp_path).fit(method, datamodule=shapes(pipeline=own))
    assert method.seen["train"][0].views[0].shape == (4, 3, 16, 16)


def test_a_module_without_pipeline_is_named(tmp_path: Path) -> None:
    class Classifier(Method):
        pipeline = None  # type: ignore[assignment]

    with pytest.raises(
        MisconfigurationException, match=r"ShapesDataModule .* Classifier has no pipeline\(\): .*pipeline=\."
    ):
        trainer(tmp_path).fit(Classifier(), datamodule=shapes())


def test_loading_without_a_trainer_asks_for_a_pipeline() -> None:
    data = shapes()
    data.setup()
    with pytest.raises(MisconfigurationException, match=r"there is no Trainer yet: .*pipeline=\."):
        data.val_dataloader()


def test_fewer_samples_than_a_batch_are_an_error_with_the_numbers(tmp_path: Path) -> None:
    with pytest.raises(
        MisconfigurationException, match=r"10 training samples, fewer than one batch of 11 on each of 1"
    ):
        trainer(tmp_path).fit(Method(), datamodule=shapes(batch_size=11))


def test_data_sets_are_built_once() -> None:
    data = shapes()
    data.setup("fit")
    train_set = data.train_set
    data.setup("validate")
    assert data.train_set is train_set


def test_only_training_keeps_its_workers_between_epochs() -> None:
    data = shapes(num_workers=1, pipeline=Method().pipeline())
    data.setup()
    assert data.train_dataloader().persistent_workers
    assert not data.val_dataloader().persistent_workers
    assert data.train_dataloader().pin_memory == torch.cuda.is_available()


def test_the_base_says_what_a_data_set_must_give() -> None:
    with pytest.raises(TypeError, match="build_datasets"):
        JEPADataModule()  # type: ignore[abstract]
