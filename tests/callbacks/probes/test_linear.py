import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from torch import nn
from torch.nn import functional as F

from jepa_lightning.callbacks import OnlineKNN, OnlineLinearProbe
from jepa_lightning.types import Batch


def test_it_learns_what_is_linearly_separable(echo, table, clusters, quiet_trainer):
    features, classes = clusters(128)
    val_features, val_classes = clusters(64, seed=1)
    labels, val_labels = ({"cluster": c, "is_first": (c == 0).long()} for c in (classes, val_classes))
    data = table((features, labels), (val_features, val_labels), {"cluster": 3, "is_first": 2}, batch_size=16)
    probe = OnlineLinearProbe()
    trainer = quiet_trainer(callbacks=[probe], max_epochs=10)
    trainer.fit(echo(), datamodule=data)
    assert set(probe.best) == {"val/linear", "val/linear_cluster", "val/linear_is_first"}
    assert min(probe.best.values()) > 0.95
    assert trainer.progress_bar_metrics.keys() == {"val/linear"}


def slow_probe(features, labels, classes, batch_size, accumulate, epochs, lr):
    """The same training written out, with a loop over samples for the loss."""
    norm = nn.BatchNorm1d(features.shape[1], eps=1e-6, affine=False)
    heads = [nn.Linear(features.shape[1], c) for c in classes]
    for parameter in (p for head in heads for p in head.parameters()):
        nn.init.zeros_(parameter)
    optimizer = torch.optim.AdamW((p for head in heads for p in head.parameters()), lr=lr, weight_decay=0.0)
    for _ in range(epochs):
        batches = list(zip(features.split(batch_size), *(label.split(batch_size) for label in labels), strict=True))
        for start in range(0, len(batches), accumulate):
            losses = [[] for _ in heads]
            for batch, *targets in batches[start : start + accumulate]:
                normed = norm(batch)
                for head, target, kept in zip(heads, targets, losses, strict=True):
                    kept += [F.cross_entropy(head(x), y) for x, y in zip(normed, target, strict=True) if y >= 0]
            optimizer.zero_grad()
            sum(sum(kept) / len(kept) for kept in losses).backward()
            optimizer.step()
    return norm, heads


@pytest.mark.parametrize("accumulate", [1, 3])
def test_it_equals_a_slow_loop_with_accumulation_and_unlabeled_samples(
    echo, table, clusters, quiet_trainer, accumulate
):
    features, first = clusters(32)
    second = torch.arange(32) % 2
    first[torch.arange(32) % 3 == 0], second[:5] = -1, -1
    data = table((features, {"a": first, "b": second}), (features, None), {"a": 3, "b": 2}, batch_size=8)
    probe = OnlineLinearProbe(lr=1e-2)
    trainer = quiet_trainer(callbacks=[probe], max_epochs=3, accumulate_grad_batches=accumulate, limit_val_batches=0)
    trainer.fit(echo(), datamodule=data)
    norm, heads = slow_probe(features, [first, second], [3, 2], 8, accumulate, epochs=3, lr=1e-2)
    state = probe.state_dict()["probe"]
    assert state["optimizer"]["state"][0]["step"] == trainer.global_step
    torch.testing.assert_close(state["heads"]["norm.running_mean"], norm.running_mean)
    torch.testing.assert_close(state["heads"]["norm.running_var"], norm.running_var)
    for number, head in enumerate(heads):
        assert head.weight.abs().max() > 0.01
        torch.testing.assert_close(state["heads"][f"heads.{number}.weight"], head.weight.data, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(state["heads"][f"heads.{number}.bias"], head.bias.data, atol=1e-5, rtol=1e-4)


def test_features_that_the_step_does_not_give_come_from_the_module_in_eval_mode(echo, table, clusters, quiet_trainer):
    states = []
    for give_features in (True, False):
        module, probe = echo(give_features), OnlineLinearProbe(every_n_steps=1)
        data = table(clusters(32), clusters(16), 3, batch_size=8)
        quiet_trainer(callbacks=[probe], max_epochs=2, limit_val_batches=0).fit(module, datamodule=data)
        assert module.drop.training
        states.append(probe.state_dict()["probe"]["heads"])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("labels", [None, torch.full((32,), -1)])
def test_training_without_labels_is_refused(echo, table, clusters, quiet_trainer, labels):
    data = table((clusters(32)[0], labels), clusters(16), 3, batch_size=8)
    trainer = quiet_trainer(callbacks=[OnlineLinearProbe()], max_epochs=1)
    with pytest.raises(
        MisconfigurationException, match=r"OnlineLinearProbe found no labeled sample in training: .* of Table"
    ):
        trainer.fit(echo(), datamodule=data)


def test_a_batch_of_one_sample_changes_nothing(echo, table, clusters, quiet_trainer):
    features, labels = clusters(17)
    probes = [OnlineLinearProbe(), OnlineLinearProbe()]
    for probe, size in zip(probes, (16, 17), strict=True):
        data = table((features[:size], labels[:size]), (features, labels), 3, batch_size=8)
        # the 17th sample is a batch of its own, and belongs to the same step as the second batch
        trainer = quiet_trainer(callbacks=[probe], max_epochs=1, accumulate_grad_batches=3, limit_val_batches=0)
        trainer.fit(echo(), datamodule=data)
    first, second = (probe.state_dict()["probe"]["heads"] for probe in probes)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_batch_without_labels_changes_nothing(echo, loader, clusters, quiet_trainer):
    features, labels = clusters(16)
    labeled, unlabeled = Batch([features], labels=labels), Batch([-features])
    probes = [OnlineLinearProbe(num_classes=3), OnlineLinearProbe(num_classes=3)]
    for probe, batches in zip(probes, ([labeled], [unlabeled, labeled]), strict=True):
        trainer = quiet_trainer(callbacks=[probe], max_epochs=1, accumulate_grad_batches=2, limit_val_batches=0)
        trainer.fit(echo(), loader(batches))
    first, second = (probe.state_dict()["probe"]["heads"] for probe in probes)
    assert all(torch.equal(first[name], second[name]) for name in first)


class DrawsAfterEachBatch(Callback):
    def __init__(self):
        self.draws = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.draws.append(torch.rand(()).item())


def test_it_leaves_the_global_generator_alone(echo, table, clusters, quiet_trainer):
    draws = []
    for callbacks in ([OnlineLinearProbe()], []):
        module, watch = echo(give_features=False), DrawsAfterEachBatch()
        data = table(clusters(32), clusters(16), 3, batch_size=8)
        torch.manual_seed(0)
        quiet_trainer(callbacks=[*callbacks, watch], max_epochs=2).fit(module, datamodule=data)
        draws.append(watch.draws)
    assert draws[0] == draws[1]


def test_the_state_is_kept_until_there_are_features(echo, table, clusters, quiet_trainer):
    trained, fresh = OnlineLinearProbe(), OnlineLinearProbe()
    data = table(clusters(32), clusters(16), 3, batch_size=8)
    quiet_trainer(callbacks=[trained], max_epochs=3).fit(echo(), datamodule=data)
    fresh.load_state_dict(trained.state_dict())
    torch.testing.assert_close(fresh.state_dict(), trained.state_dict(), rtol=0, atol=0)
    found = quiet_trainer(callbacks=[fresh]).validate(echo(), datamodule=data, verbose=False)[0]
    assert found["val/linear"] == pytest.approx(trained.best["val/linear"])
    # validation does not train the norm
    torch.testing.assert_close(fresh.state_dict(), trained.state_dict(), rtol=0, atol=0)


def test_heads_restored_in_inference_mode_can_be_trained(echo, table, clusters, quiet_trainer):
    probe, again = OnlineLinearProbe(), OnlineLinearProbe()
    data = table(clusters(32), clusters(16), 3, batch_size=8)
    quiet_trainer(callbacks=[probe], max_epochs=1).fit(echo(), datamodule=data)
    before = probe.state_dict()["probe"]["heads"]["heads.0.weight"].clone()
    again.load_state_dict(probe.state_dict())
    trainer = quiet_trainer(callbacks=[again], max_epochs=1)
    trainer.validate(echo(), datamodule=data, verbose=False)
    trainer.fit(echo(), datamodule=data)
    assert not torch.equal(again.state_dict()["probe"]["heads"]["heads.0.weight"], before)


@pytest.mark.parametrize(("width", "classes"), [(8, 2), (5, 3)])
def test_a_checkpoint_of_other_heads_is_refused(echo, table, clusters, quiet_trainer, width, classes):
    trained, other = OnlineLinearProbe(), OnlineLinearProbe()
    data = table(clusters(16), clusters(16), 3, batch_size=8)
    quiet_trainer(callbacks=[trained], max_epochs=1).fit(echo(), datamodule=data)
    other.load_state_dict(trained.state_dict())
    rows = clusters(16, classes, width)
    with pytest.raises(MisconfigurationException, match=r"has classes \{'': 3\} on 8 features, this run has"):
        quiet_trainer(callbacks=[other], max_epochs=1).fit(echo(), datamodule=table(rows, rows, classes, batch_size=8))


KINDS = {
    "val/linear", "val/linear_cluster", "val/linear_r2", "val/linear_place_r2", "val/linear_mae",
    "val/linear_place_mae", "val/linear_map", "val/linear_tags_map",
}  # fmt: skip


def test_it_learns_labels_of_each_kind(echo, table, mixed, quiet_trainer):
    probe, data = OnlineLinearProbe(lr=2e-2), table(mixed(256), mixed(128, seed=1), {"cluster": 3}, batch_size=32)
    trainer = quiet_trainer(callbacks=[probe], max_epochs=30)
    trainer.fit(echo(), datamodule=data)
    assert probe.best.keys() == KINDS
    found = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert min(found[name] for name in ("val/linear", "val/linear_r2", "val/linear_map")) > 0.95
    # an error in the units of the labels, which have a spread of hundreds
    assert 1 < found["val/linear_mae"] < 40
    # an error is best where it is lowest
    assert probe.best["val/linear_mae"] <= found["val/linear_mae"] + 1e-3
    assert probe.best["val/linear_r2"] >= found["val/linear_r2"] - 1e-6
    # the same from the features by hand
    val, labels = data.val
    scores = probe.scores(val)[""]["place"][5:]
    truth = labels["place"][5:].double()
    residual = ((scores - truth).square().sum(dim=0) / (truth - truth.mean(dim=0)).square().sum(dim=0)).mean()
    assert found["val/linear_r2"] == pytest.approx(1 - float(residual), rel=1e-5)
    assert found["val/linear_mae"] == pytest.approx(float((scores - truth).abs().mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("label", "names"), [("place", {"val/linear_r2", "val/linear_mae"}), ("tags", {"val/linear_map"})]
)
def test_a_single_label_without_a_name_needs_no_number_of_classes(echo, table, mixed, quiet_trainer, label, names):
    features, labels = mixed(32)
    data = table((features, labels[label]), (features, labels[label]), 0, batch_size=8)
    probe = OnlineLinearProbe()
    quiet_trainer(callbacks=[probe], max_epochs=1).fit(echo(), datamodule=data)
    assert probe.best.keys() == names


def test_values_are_fitted_as_by_a_slow_loop(echo, table, clusters, quiet_trainer):
    features, _ = clusters(32)
    value = 7 * features[:, 0] + 300
    value[::3] = torch.nan
    probe, data = OnlineLinearProbe(lr=1e-2), table((features, value), (features, None), None, batch_size=8)
    quiet_trainer(callbacks=[probe], max_epochs=3, limit_val_batches=0).fit(echo(), datamodule=data)
    norm, head = nn.BatchNorm1d(8, eps=1e-6, affine=False), nn.Linear(8, 1)
    nn.init.zeros_(head.weight), nn.init.zeros_(head.bias)
    optimizer, seen = torch.optim.AdamW(head.parameters(), lr=1e-2, weight_decay=0.0), []
    for _ in range(3):
        for batch, target in zip(features.split(8), value.split(8), strict=True):
            seen += [float(v) for v in target if not torch.isnan(v)]
            mean, std = np.mean(seen), np.std(seen)
            normed = norm(batch)
            losses = [
                (head(x)[0] - (float(v) - mean) / std) ** 2
                for x, v in zip(normed, target, strict=True)
                if not torch.isnan(v)
            ]
            optimizer.zero_grad()
            (sum(losses) / len(losses)).backward()
            optimizer.step()
    state = probe.state_dict()["probe"]
    assert head.weight.abs().max() > 0.01
    torch.testing.assert_close(state["heads"]["heads.0.weight"], head.weight.data, atol=2e-4, rtol=1e-4)
    expected = (head(norm.eval()(features)) * std + mean).double()
    torch.testing.assert_close(probe.scores(features)[""][""].double(), expected, atol=0.05, rtol=1e-4)


def test_labels_of_each_kind_resume(echo, table, mixed, quiet_trainer, tmp_path):
    data = table(mixed(64), mixed(32, seed=1), {"cluster": 3}, batch_size=8)
    whole, half, resumed = OnlineLinearProbe(), OnlineLinearProbe(), OnlineLinearProbe()
    quiet_trainer(callbacks=[whole], max_epochs=4).fit(echo(), datamodule=data)
    trainer = quiet_trainer(callbacks=[half], max_epochs=2)
    trainer.fit(echo(), datamodule=data)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    assert torch.load(tmp_path / "half.ckpt", weights_only=True)["callbacks"]["OnlineLinearProbe"]["probe"]["targets"]
    trainer = quiet_trainer(callbacks=[resumed], max_epochs=4)
    trainer.fit(echo(), datamodule=data, ckpt_path=tmp_path / "half.ckpt")
    states = [each.state_dict() for each in (resumed, whole)]
    described = [state["probe"].pop("classes") for state in states]
    assert described == [{"cluster": 3, "place": "2 value(s)", "tags": "3 tags"}] * 2
    torch.testing.assert_close(*states, rtol=0, atol=0)
    # and test takes the probe of the checkpoint
    tested = OnlineLinearProbe()
    found = quiet_trainer(callbacks=[tested]).test(echo(), datamodule=data, ckpt_path=tmp_path / "half.ckpt")[0]
    assert found.keys() == {name.replace("val/", "test/") for name in KINDS}
    assert found["test/linear_r2"] == pytest.approx(half.best["val/linear_r2"])
    assert tested.best == half.best


@pytest.mark.parametrize("where", ["train", "val"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1, 2, 3], "has 3 classes for a single label .*class 3: classes run from 0 to 2, and -1 is unlabeled"),
        ([0, 1, -100], "has 3 classes for a single label .*class -100: classes run from 0 to 2"),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 2]], "a single label .*the value 2 in a multi-hot row: rows hold 0 and 1"),
        ([0.5, 1.0, torch.inf], "a single label .*the value inf or -inf: values must be finite"),
        ([True, False, True], r"cannot use a single label .* of type torch.bool and shape \[3\]: give int64"),
    ],
)
def test_labels_out_of_range_are_named_in_training_and_validation(
    echo, table, clusters, quiet_trainer, labels, message, where
):
    features, bad = clusters(3)[0], torch.tensor(labels)
    good = bad[[0, 0, 0]]
    pairs = {"train": (features, good), "val": (features, good)} | {where: (features, bad)}
    trainer = quiet_trainer(callbacks=[OnlineLinearProbe()], max_epochs=1, num_sanity_val_steps=0)
    with pytest.raises(MisconfigurationException, match=f"^OnlineLinearProbe .*{message}"):
        trainer.fit(echo(), datamodule=table(pairs["train"], pairs["val"], 3, batch_size=3))


def test_a_second_fit_starts_afresh_whatever_the_width(echo, table, clusters, quiet_trainer):
    probe, new = OnlineLinearProbe(), OnlineLinearProbe()
    wide = clusters(64, width=12)
    quiet_trainer(callbacks=[probe], max_epochs=5).fit(echo(), datamodule=table(wide, wide, 3, batch_size=8))
    assert probe.best["val/linear"] > 0.9
    shuffled = clusters(64)[0], clusters(64)[1].roll(1)
    for each in (probe, new):
        trainer = quiet_trainer(callbacks=[each], max_epochs=1)
        trainer.fit(echo(), datamodule=table(shuffled, shuffled, 3, batch_size=8))
    assert probe.best["val/linear"] < 0.8
    torch.testing.assert_close(probe.state_dict(), new.state_dict(), rtol=0, atol=0)


def test_two_probes_of_a_type_have_names_of_their_own(echo, table, clusters, quiet_trainer, tmp_path):
    data = table(clusters(64), clusters(32, seed=1), 3, batch_size=8)
    probes = [OnlineLinearProbe(), OnlineLinearProbe(lr=1e-6, name="slow")]
    trainer = quiet_trainer(callbacks=probes, max_epochs=1)
    trainer.fit(echo(), datamodule=data)
    assert {"val/linear", "val/slow"} <= trainer.callback_metrics.keys()
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    assert {"OnlineLinearProbe", "OnlineLinearProbe_slow"} <= torch.load(tmp_path / "run.ckpt")["callbacks"].keys()
    again = [OnlineLinearProbe(), OnlineLinearProbe(lr=1e-6, name="slow")]
    quiet_trainer(callbacks=again, max_epochs=1).fit(echo(), datamodule=data, ckpt_path=tmp_path / "run.ckpt")
    for first, second in zip(probes, again, strict=True):
        torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)


def test_names_that_collide_or_that_are_none_are_refused(echo, table, clusters, quiet_trainer):
    data = table(clusters(16), clusters(16), 3, batch_size=8)
    trainer = quiet_trainer(callbacks=[OnlineLinearProbe(name="knn"), OnlineKNN()], max_epochs=1)
    with pytest.raises(MisconfigurationException, match="OnlineLinearProbe and OnlineKNN both log as 'knn'"):
        trainer.fit(echo(), datamodule=data)
    with pytest.raises(ValueError, match=r"OnlineLinearProbe\(name='a/b'\)"):
        OnlineLinearProbe(name="a/b")


def test_features_that_cost_a_forward_pass_are_taken_at_every_eighth_step(echo, table, clusters, quiet_trainer):
    data = table(clusters(160), clusters(16), 3, batch_size=8)
    for give_features, options, steps in (
        (True, {}, 20),
        (False, {}, 3),
        (False, {"every_n_steps": 1}, 20),
        (True, {"every_n_steps": 4}, 5),
    ):
        module, probe, calls = echo(give_features), OnlineLinearProbe(**options), []
        forward = module.forward
        module.forward = lambda x, calls=calls, forward=forward: calls.append(1) or forward(x)
        quiet_trainer(callbacks=[probe], max_epochs=1, limit_val_batches=0).fit(module, datamodule=data)
        assert probe.state_dict()["probe"]["optimizer"]["state"][0]["step"] == steps
        assert len(calls) == (0 if give_features else steps)


def test_all_micro_batches_of_a_step_are_taken_or_none(echo, table, clusters, quiet_trainer):
    states = []
    for give_features, accumulate, size in ((False, 2, 4), (True, 2, 4)):
        features, labels = clusters(64)
        data = table((features, labels), (features, labels), 3, batch_size=size)
        probe = OnlineLinearProbe(every_n_steps=3)
        trainer = quiet_trainer(callbacks=[probe], max_epochs=1, accumulate_grad_batches=accumulate)
        trainer.fit(echo(give_features), datamodule=data)
        states.append(probe.state_dict()["probe"])
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert states[0]["optimizer"]["state"][0]["step"] == 3
    assert states[0]["heads"]["norm.num_batches_tracked"] == 6
