import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from jepa_lightning.callbacks.probes.base import OnlineProbe
from jepa_lightning.callbacks.probes.labels import ProbeLabels
from jepa_lightning.probing.label_kinds import ClassLabel
from jepa_lightning.types import Batch


class Guess(OnlineProbe):
    """Takes the features themselves for the class, times 1 for the first label and shifted by one for the second."""

    name = "guess"
    ready = True

    def scores(self, features):
        classes = features[:, 0].long()
        scores = {
            label: F.one_hot((classes + shift) % number, number).float()
            for shift, (label, number) in enumerate(self._classes.items())
        }
        return {"": scores}


def rows(*classes):
    return torch.tensor(classes, dtype=torch.float32).unsqueeze(1)


def validate(trainer, echo, table, labels, num_classes, batch_size=2):
    val = rows(0, 1, 2, 0, 1), labels
    return trainer.validate(echo, datamodule=table(val, val, num_classes, batch_size), verbose=False)[0]


def test_accuracy_counts_samples_and_leaves_out_the_unlabeled(echo, table, quiet_trainer):
    labels = torch.tensor([0, 1, -1, 2, -1])
    assert validate(quiet_trainer(callbacks=[Guess()]), echo(), table, labels, 3) == {"val/guess": pytest.approx(2 / 3)}


def test_several_labels_are_logged_by_name_and_the_first_one_by_itself(echo, table, quiet_trainer):
    probe = Guess()
    labels = {"shape": torch.tensor([0, 1, 0, 0, 1]), "color": torch.tensor([1, 2, 0, 1, 0])}
    found = validate(quiet_trainer(callbacks=[probe]), echo(), table, labels, {"shape": 3, "color": 3})
    expected = {"val/guess": 0.8, "val/guess_shape": 0.8, "val/guess_color": 0.8}
    assert found == pytest.approx(expected)
    assert probe.best == pytest.approx(expected)


def test_num_classes_chooses_labels(echo, table, quiet_trainer):
    labels = {"shape": torch.tensor([0, 0, 0, 0, 0]), "color": torch.tensor([0, 1, 2, 0, 0])}
    trainer = quiet_trainer(callbacks=[Guess(num_classes={"color": 3})])
    assert validate(trainer, echo(), table, labels, {"shape": 3, "color": 3}) == {"val/guess": pytest.approx(0.8)}


def test_a_label_that_no_sample_has_is_not_logged(echo, table, quiet_trainer):
    labels = {"shape": torch.tensor([0, 1, 2, 0, 1]), "color": torch.full((5,), -1)}
    found = validate(quiet_trainer(callbacks=[Guess()]), echo(), table, labels, {"shape": 3, "color": 3})
    assert found == {"val/guess": 1.0, "val/guess_shape": 1.0}


@pytest.mark.parametrize("labels", [None, torch.full((5,), -1)])
def test_validation_without_labels_is_refused(echo, table, quiet_trainer, labels):
    with pytest.raises(MisconfigurationException, match=r"Guess found no labeled sample in validation: .* of Table"):
        validate(quiet_trainer(callbacks=[Guess()]), echo(), table, labels, 3)


@pytest.mark.parametrize(
    ("num_classes", "message"),
    [
        (None, "Guess needs labels, and Table has no num_classes"),
        (1, "cannot tell 1 class apart"),
        (2, "Guess has 2 classes for a single label without a name, and the batch has a sample of class 2"),
        ({"shape": 3}, "expects the label.* shape, and the batches have a single label without a name"),
    ],
)
def test_labels_that_do_not_fit_are_explained(echo, table, quiet_trainer, num_classes, message):
    with pytest.raises(MisconfigurationException, match=message):
        validate(quiet_trainer(callbacks=[Guess()]), echo(), table, torch.tensor([0, 1, 2, 0, 1]), num_classes)


def test_labels_are_not_needed_to_predict(echo, table, quiet_trainer):
    module = echo()
    module.predict_step = lambda batch, batch_idx: batch.views[0]
    data = table((rows(0), None), (rows(0), None), None, 1)
    quiet_trainer(callbacks=[Guess()]).predict(module, dataloaders=data.val_dataloader())


def test_the_sanity_check_counts_for_nothing(echo, table, quiet_trainer):
    probe = Guess()
    wrong_then_right = rows(0, 1), torch.tensor([1, 1])
    trainer = quiet_trainer(callbacks=[probe], max_epochs=1, num_sanity_val_steps=2, check_val_every_n_epoch=2)
    trainer.fit(echo(), datamodule=table(wrong_then_right, wrong_then_right, 3, 1))
    assert probe.best == {}


class Accuracies(Guess):
    """Is right about the given share of each validation's samples."""

    def __init__(self, *shares):
        super().__init__()
        self.shares = list(shares)

    def on_validation_epoch_start(self, trainer, pl_module):
        super().on_validation_epoch_start(trainer, pl_module)
        self.right = self.shares.pop(0)

    def scores(self, features):
        right = torch.arange(len(features)) < self.right * len(features)
        return {"": {"": F.one_hot(torch.where(right, 0, 1), 2).float()}}


def fit_with(probe, echo, table, quiet_trainer):
    val = torch.zeros(20, 1), torch.zeros(20, dtype=torch.long)
    trainer = quiet_trainer(callbacks=[probe], max_epochs=len(probe.shares), num_sanity_val_steps=0)
    trainer.fit(echo, datamodule=table(val, val, 2, 20))


def test_a_lasting_fall_below_the_best_is_said_once(echo, table, quiet_trainer):
    probe = Accuracies(0.5, 0.9, 0.8, 0.7, 0.6, 0.5)
    with pytest.warns(UserWarning, match=r"val/guess is at 0.700 .* below its best of 0.900") as record:
        fit_with(probe, echo(), table, quiet_trainer)
    assert sum("below its best" in str(warning.message) for warning in record) == 1
    assert probe.best == {"val/guess": pytest.approx(0.9)}


def test_small_or_single_falls_are_not_worth_a_warning(echo, table, quiet_trainer, recwarn):
    fit_with(Accuracies(0.9, 0.5, 0.9, 0.85, 0.85, 0.5), echo(), table, quiet_trainer)
    assert not [warning for warning in recwarn if "below its best" in str(warning.message)]


def test_best_and_the_length_of_a_fall_are_restored(echo, table, quiet_trainer):
    before, after = Accuracies(0.9, 0.6), Accuracies(0.6)
    fit_with(before, echo(), table, quiet_trainer)
    after.load_state_dict(before.state_dict())
    with pytest.warns(UserWarning, match="below its best of 0.900"):
        fit_with(after, echo(), table, quiet_trainer)


def test_without_a_datamodule_num_classes_is_given_and_batches_may_lack_labels(echo, loader, quiet_trainer):
    batches = [Batch([rows(0, 1)]), Batch([rows(0, 1)], labels=torch.tensor([0, 2]))]
    found = quiet_trainer(callbacks=[Guess(num_classes=3)]).validate(echo(), loader(batches), verbose=False)
    assert found == [{"val/guess": 0.5}]


def test_without_a_datamodule_and_num_classes_it_says_so(echo, loader, quiet_trainer):
    with pytest.raises(MisconfigurationException, match=r"\(there is no DataModule\) has no num_classes"):
        quiet_trainer(callbacks=[Guess()]).validate(echo(), loader([Batch([rows(0, 1)])]), verbose=False)


def test_further_loaders_are_logged_as_lightning_names_them(echo, loader, quiet_trainer):
    probe = Guess(num_classes=3)
    loaders = [
        loader([Batch([rows(0, 1)], labels=torch.tensor(labels)), Batch([rows(2)], labels=torch.tensor([2]))])
        for labels in ([0, 1], [0, 2], [-1, 2])
    ]
    trainer = quiet_trainer(callbacks=[probe])
    trainer.validate(echo(), [*loaders, loader([Batch([rows(0)])])], verbose=False)
    expected = {"val/guess": 1.0, "val/guess/dataloader_idx_1": 2 / 3, "val/guess/dataloader_idx_2": 0.5}
    assert {name: float(value) for name, value in trainer.callback_metrics.items()} == pytest.approx(expected)
    assert probe.best == pytest.approx(expected)


def test_test_logs_what_validate_does_and_leaves_the_best(echo, table, quiet_trainer):
    probe = Guess()
    labels = {"shape": torch.tensor([0, 1, 0, 0, 1]), "color": torch.tensor([1, 2, 0, 1, 0])}
    val = rows(0, 1, 2, 0, 1), labels
    data = table(val, val, {"shape": 3, "color": 3}, 2)
    found = quiet_trainer(callbacks=[probe]).test(echo(), datamodule=data, verbose=False)[0]
    assert found == pytest.approx({"test/guess": 0.8, "test/guess_shape": 0.8, "test/guess_color": 0.8})
    assert probe.best == {}


def test_a_label_of_another_kind_than_before_is_refused(echo, loader, quiet_trainer):
    batches = [Batch([rows(0, 1)], labels=torch.tensor([0, 1])), Batch([rows(0, 1)], labels=torch.tensor([0.0, 1.0]))]
    message = r"Guess has met 3 as a single label without a name, and now one of type torch.float32 and shape \[2\]"
    with pytest.raises(MisconfigurationException, match=message):
        quiet_trainer(callbacks=[Guess(num_classes=3)]).validate(echo(), loader(batches), verbose=False)


def test_a_number_that_does_not_fit_the_columns_is_refused(echo, loader, quiet_trainer):
    batches = [Batch([rows(0, 1)], labels=torch.tensor([0.0, 1.0]))]
    message = r"has num_classes 3 for a single label without a name, and the batch has 1 value\(s\) a sample"
    with pytest.raises(MisconfigurationException, match=message):
        quiet_trainer(callbacks=[Guess(num_classes=3)]).validate(echo(), loader(batches), verbose=False)


def test_on_a_device_values_are_looked_at_in_the_first_batch_and_at_the_end(quiet_trainer):
    reader = ProbeLabels("Guess", "the data", {"a": 3})
    looks = []
    refuse = reader._refuse
    reader._refuse = lambda name, value: looks.append(value) or refuse(name, value)
    with FakeTensorMode(allow_non_fake_inputs=True):
        # a look at a value of this device would be an error here
        reader.kinds = {"a": ClassLabel(3)}
        reader._offenders["a"] = torch.zeros((), device="cuda")
        for _ in range(3):
            labels = reader.read({"a": torch.zeros(4, dtype=torch.long, device="cuda")})
            assert labels["a"].device.type == "cuda"
    assert looks == []
    reader._offenders["a"] = torch.tensor(7.0)
    with pytest.raises(MisconfigurationException, match=r"Guess has 3 classes for the label.* a, .* class 7"):
        reader.check(quiet_trainer(), torch.device("cpu"))
