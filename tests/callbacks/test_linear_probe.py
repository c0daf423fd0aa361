import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from torch import nn
from torch.nn import functional as F

from jepa_lightning.callbacks import OnlineLinearProbe
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
def test_it_equals_a_slow_loop_with_accumulation_and_unlabelled_samples(
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
        MisconfigurationException, match=r"OnlineLinearProbe found no labelled sample in training: .* of Table"
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
    labelled, unlabelled = Batch([features], labels=labels), Batch([-features])
    probes = [OnlineLinearProbe(num_classes=3), OnlineLinearProbe(num_classes=3)]
    for probe, batches in zip(probes, ([labelled], [unlabelled, labelled]), strict=True):
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
