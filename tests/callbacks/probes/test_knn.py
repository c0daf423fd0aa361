import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningDataModule
from sklearn.metrics import average_precision_score, r2_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from torch.utils.data import DataLoader

from jepa_lightning.callbacks import OnlineKNN


def overlapping(size, seed, offset=20.0):
    """Rows of three classes that overlap, far from the origin, so that centring matters."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(0, 3, (size,), generator=generator)
    centers = torch.eye(3, 6)
    return offset + centers[classes] + torch.randn(size, 6, generator=generator), classes


class Bank(LightningDataModule):
    """Gives as memory what the module's forward turns into features: here the rows themselves."""

    def __init__(self, table, memory_batch_size=7):
        super().__init__()
        self.table, self.num_classes, self.memory_batch_size = table, table.num_classes, memory_batch_size
        self.train_dataloader, self.val_dataloader = table.train_dataloader, table.val_dataloader

    def memory_dataloader(self):
        loader = self.table.memory_dataloader()
        return DataLoader(loader.dataset, self.memory_batch_size, collate_fn=loader.collate_fn)


def reference(train, val, k, temperature):
    """Accuracy of scikit-learn's classifier on centered rows, with the same weights on the same distance."""
    mean = train[0].mean(dim=0)
    known = train[1] >= 0
    knn = KNeighborsClassifier(
        n_neighbors=k, metric="cosine", weights=lambda distance: np.exp((1 - distance) / temperature)
    )
    knn.fit((train[0] - mean)[known].numpy(), train[1][known].numpy())
    labeled = val[1] >= 0
    return knn.score((val[0] - mean)[labeled].numpy(), val[1][labeled].numpy())


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (20, 0.07), (20, 1.0)])
def test_it_equals_scikit_learn(echo, table, quiet_trainer, k, temperature):
    train, val = overlapping(150, 0), overlapping(97, 1)
    train[1][::5], val[1][::4] = -1, -1
    data = Bank(table(train, val, 3, batch_size=16))
    probe = OnlineKNN(k=k, temperature=temperature)
    found = quiet_trainer(callbacks=[probe]).validate(echo(), datamodule=data, verbose=False)[0]
    expected = reference(train, val, k, temperature)
    assert 0.4 < expected < 0.9
    assert found == {"val/knn": pytest.approx(expected)}
    assert probe.best == {"val/knn": pytest.approx(expected)}


def test_each_label_has_neighbors_of_its_own(echo, table, quiet_trainer):
    train, val = overlapping(150, 0), overlapping(97, 1)
    half = torch.where(torch.arange(150) % 2 == 0, train[1] % 2, -1)
    labels, val_labels = {"a": train[1], "b": half}, {"a": val[1], "b": val[1] % 2}
    data = Bank(table((train[0], labels), (val[0], val_labels), {"a": 3, "b": 2}, batch_size=16))
    found = quiet_trainer(callbacks=[OnlineKNN(k=5)]).validate(echo(), datamodule=data, verbose=False)[0]
    assert found == {
        "val/knn": pytest.approx(reference(train, val, 5, 0.07)),
        "val/knn_a": pytest.approx(reference(train, val, 5, 0.07)),
        "val/knn_b": pytest.approx(reference((train[0], half), (val[0], val[1] % 2), 5, 0.07)),
    }


def test_more_neighbors_than_images_means_all_of_them(echo, table, quiet_trainer):
    train, val = overlapping(12, 0), overlapping(30, 1)
    data = Bank(table(train, val, 3, batch_size=16))
    found = quiet_trainer(callbacks=[OnlineKNN(k=50)]).validate(echo(), datamodule=data, verbose=False)[0]
    assert found == {"val/knn": pytest.approx(reference(train, val, 12, 0.07))}


class CountingBank(Bank):
    """Notes which rows were asked for at each validation."""

    def __init__(self, table):
        super().__init__(table)
        self.asked = []

    def memory_dataloader(self):
        loader, rows = super().memory_dataloader(), []

        def collate(samples):
            if not rows:
                self.asked.append(rows)
            rows.extend(samples)
            torch.rand(()), random.random()  # what a data set's own transform may do
            return loader.collate_fn(samples)

        return DataLoader(loader.dataset, 7, collate_fn=collate)


def test_the_bank_is_a_fixed_random_part_of_the_training_images(echo, table, quiet_trainer):
    data = CountingBank(table(overlapping(100, 0), overlapping(10, 1), 3, batch_size=10))
    trainer = quiet_trainer(
        callbacks=[OnlineKNN(max_samples=40, every_n_epochs=1)], max_epochs=2, num_sanity_val_steps=1
    )
    trainer.fit(echo(), datamodule=data)
    first, second = data.asked  # none for the sanity check
    assert first == second
    assert len(set(first)) == 40
    # a sorted data set is met in all its parts
    assert all(5 <= sum(start <= row < start + 25 for row in first) <= 15 for start in (0, 25, 50, 75))


def test_epochs_between_are_left_out_but_validate_always_runs(echo, table, quiet_trainer):
    data = CountingBank(table(overlapping(20, 0), overlapping(10, 1), 3, batch_size=10))
    trainer = quiet_trainer(callbacks=[OnlineKNN(every_n_epochs=3)], max_epochs=7)
    trainer.fit(echo(), datamodule=data)
    assert len(data.asked) == 2
    trainer.validate(echo(), datamodule=data, verbose=False)
    assert len(data.asked) == 3


@pytest.mark.parametrize(("seen", "epochs"), [(0, [2, 5, 6]), (40, [0, 3, 6])])
def test_by_default_validations_are_spaced_by_what_they_cost(echo, table, quiet_trainer, seen, epochs):
    data = CountingBank(table(overlapping(20, 0), overlapping(10, 1), 3, batch_size=10))
    probe, watch = OnlineKNN(max_samples=2), NotesEpochs(data)
    probe.load_state_dict(probe.state_dict() | {"seen": seen})
    quiet_trainer(callbacks=[probe, watch], max_epochs=7).fit(echo(), datamodule=data)
    # 20 images an epoch, 2 in the bank: after every 50th, and at the end
    assert watch.epochs == epochs
    assert probe.state_dict()["seen"] == 0


class NotesEpochs(Callback):
    def __init__(self, data):
        self.data, self.epochs = data, []

    def on_validation_end(self, trainer, pl_module):
        self.epochs += [trainer.current_epoch] * (len(self.data.asked) - len(self.epochs))


class DrawsAfterEachBatch(Callback):
    def __init__(self):
        self.draws = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.draws.append((torch.rand(()).item(), random.random()))


def test_it_leaves_the_global_generators_alone(echo, table, quiet_trainer):
    draws = []
    for callbacks in ([OnlineKNN(every_n_epochs=1)], []):
        module, watch = echo(), DrawsAfterEachBatch()
        data = CountingBank(table(overlapping(20, 0), overlapping(10, 1), 3, batch_size=10))
        torch.manual_seed(0), random.seed(0)
        trainer = quiet_trainer(callbacks=[*callbacks, watch], max_epochs=3)
        trainer.fit(module, datamodule=data)
        draws.append(watch.draws)
    assert draws[0] == draws[1]


def test_a_validation_without_training_samples_is_refused(echo, table, quiet_trainer):
    data = table(overlapping(20, 0), overlapping(10, 1), 3, batch_size=10)
    with pytest.raises(
        MisconfigurationException, match="OnlineKNN encodes training samples, and this validate has none"
    ):
        quiet_trainer(callbacks=[OnlineKNN(num_classes=3)]).validate(echo(), data.val_dataloader())


def test_training_images_without_labels_are_refused(echo, table, quiet_trainer):
    rows, _ = overlapping(20, 0)
    data = table((rows, None), overlapping(10, 1), 3, batch_size=10)
    with pytest.raises(MisconfigurationException, match="no labeled sample in the training images it compares with"):
        quiet_trainer(callbacks=[OnlineKNN()]).validate(echo(), datamodule=data, verbose=False)


def test_features_come_from_the_deterministic_view(tiny_ijepa, shapes, quiet_trainer):
    found = []
    for crop_scale in ((0.3, 0.4), (1.0, 1.0)):
        trainer = quiet_trainer(callbacks=[OnlineKNN(k=5)])
        module = tiny_ijepa(crop_scale=crop_scale)
        found.append(trainer.validate(module, datamodule=shapes(num_val=64), verbose=False)[0])
    names = [name for name in found[0] if "knn" in name]
    assert len(names) == 7
    assert all(found[0][name] == found[1][name] for name in names)


def test_values_and_multi_hot_labels_equal_scikit_learn(echo, table, quiet_trainer, mixed):
    (rows, labels), (val, val_labels) = mixed(150), mixed(97, seed=1)
    data = Bank(table((rows, labels), (val, val_labels), {"cluster": 3}, batch_size=16))
    found = quiet_trainer(callbacks=[OnlineKNN(k=5)]).validate(echo(), datamodule=data, verbose=False)[0]
    mean = rows.mean(dim=0)
    options = {
        "n_neighbors": 5, "metric": "cosine", "weights": lambda distance: np.exp((1 - distance) / 0.07)
    }  # fmt: skip
    train, queries = (rows - mean)[5:].numpy(), (val - mean)[5:].numpy()
    place, tags = labels["place"][5:].double().numpy(), labels["tags"][5:].double().numpy()
    values = KNeighborsRegressor(**options).fit(train, place).predict(queries)
    shares = KNeighborsRegressor(**options).fit(train, tags).predict(queries)
    truth = val_labels["place"][5:].double().numpy()
    expected_map = average_precision_score(val_labels["tags"][5:].numpy(), shares, average="macro")
    assert found["val/knn_place_r2"] == found["val/knn_r2"] == pytest.approx(r2_score(truth, values), rel=1e-4)
    assert found["val/knn_place_mae"] == pytest.approx(np.abs(truth - values).mean(), rel=1e-4)
    assert found["val/knn_tags_map"] == found["val/knn_map"] == pytest.approx(expected_map, rel=1e-3)
    assert found["val/knn"] == found["val/knn_cluster"] > 0.9


def test_the_first_validation_is_never_skipped(echo, table, quiet_trainer):
    data = CountingBank(table(overlapping(20, 0), overlapping(10, 1), 3, batch_size=10))
    probe, watch = OnlineKNN(max_samples=20), NotesEpochs(data)
    for _ in range(2):  # nor that of a second fit
        data.asked.clear(), watch.epochs.clear()
        quiet_trainer(callbacks=[probe, watch], max_epochs=4).fit(echo(), datamodule=data)
        assert watch.epochs == [0, 3]


@pytest.mark.parametrize(("max_samples", "warns"), [(29, True), (30, False)])
def test_few_images_a_class_are_worth_a_warning(echo, table, quiet_trainer, recwarn, max_samples, warns):
    data = Bank(table(overlapping(100, 0), overlapping(10, 1), 3, batch_size=16))
    quiet_trainer(callbacks=[OnlineKNN(max_samples=max_samples)]).validate(echo(), datamodule=data, verbose=False)
    texts = [str(warning.message) for warning in recwarn if "images a class" in str(warning.message)]
    assert len(texts) == warns
    assert not warns or ("OnlineKNN(max_samples=29)" in texts[0] and "Set max_samples to 30" in texts[0])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts file descriptors as Linux lists them")
def test_labels_from_workers_hold_no_descriptor(echo, table, quiet_trainer):
    class Workers(Bank):
        def memory_dataloader(self):
            loader = self.table.memory_dataloader()
            return DataLoader(loader.dataset, 2, collate_fn=loader.collate_fn, num_workers=1)

    data = Workers(table(overlapping(200, 0), overlapping(10, 1), 3, batch_size=16))
    counts = []

    class Counting(echo):
        def forward(self, x):
            counts.append(len(os.listdir("/proc/self/fd")))
            return x.clone()

    quiet_trainer(callbacks=[OnlineKNN(max_samples=200)]).validate(Counting(), datamodule=data, verbose=False)
    assert len(counts) == 100
    assert max(counts[10:]) - counts[10] < 10


def test_the_test_stage_has_a_bank_of_its_own(echo, table, quiet_trainer):
    train, val = overlapping(150, 0), overlapping(97, 1)
    data = Bank(table(train, val, 3, batch_size=16))
    data.test_dataloader = data.table.test_dataloader
    probe = OnlineKNN(k=5)
    found = quiet_trainer(callbacks=[probe]).test(echo(), datamodule=data, verbose=False)[0]
    assert found == {"test/knn": pytest.approx(reference(train, val, 5, 0.07))}
    assert not probe.ready
