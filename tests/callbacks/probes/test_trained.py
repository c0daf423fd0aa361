import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jepa_lightning.callbacks import OnlineAttentiveProbe
from jepa_lightning.nn.attentive_pooler import CrossAttention
from jepa_lightning.probing.label_kinds import ClassLabel


@pytest.fixture
def fit(quiet_trainer, table, token_echo, places):
    """Trains a probe on tokens; gives back what it holds afterwards."""

    def build(probe, train, val=None, classes=4, batch_size=16, ckpt_path=None, **options):
        trainer = quiet_trainer(callbacks=[probe], **{"max_epochs": 1, **options})
        data = table(train, val or places(64, seed=1), classes, batch_size)
        trainer.fit(token_echo(), datamodule=data, ckpt_path=ckpt_path)
        return probe.state_dict()["probe"], trainer

    return build


def variant(state, number):
    """Weights and the optimizer's moments of one learning rate."""
    prefix = f"variants.{number}."
    heads = {name.removeprefix(prefix): p for name, p in state["heads"].items() if name.startswith(prefix)}
    moments = [state["optimizer"]["state"][i + number * len(heads)] for i in range(len(heads))]
    return heads, moments


def test_each_learning_rate_trains_as_it_would_alone(fit, places):
    lrs = (1e-3, 1e-2, 3e-4)
    together, _ = fit(OnlineAttentiveProbe(lrs=lrs, depth=2), places(64))
    alone = [fit(OnlineAttentiveProbe(lrs=(lr,), depth=2), places(64))[0] for lr in lrs]
    for number, state in enumerate(alone):
        torch.testing.assert_close(variant(together, number), variant(state, 0), rtol=0, atol=0)
    assert not torch.equal(alone[0]["heads"]["variants.0.1.weight"], alone[1]["heads"]["variants.0.1.weight"])


@pytest.mark.parametrize("several", [False, True])
def test_the_best_learning_rate_is_logged_and_each_by_name(fit, places, several):
    (tokens, place), (val, val_place) = places(128), places(64, seed=1)
    probe = OnlineAttentiveProbe(lrs=(1e-5, 1e-2))
    if several:
        labels, val_labels = ({"place": p, "late": p // 2} for p in (place, val_place))
        _, trainer = fit(probe, (tokens, labels), (val, val_labels), {"place": 4, "late": 2}, max_epochs=5)
    else:
        val_labels = {"": val_place}
        _, trainer = fit(probe, (tokens, place), (val, val_place), max_epochs=5)
    expected, scores = {}, probe.scores(val)
    for label, truth in val_labels.items():
        name = f"val/attentive_{label}" if label else "val/attentive"
        each = {lr: (scores[lr][label].argmax(1) == truth).float().mean() for lr in ("lr=1e-05", "lr=0.01")}
        assert each["lr=1e-05"] < each["lr=0.01"]
        expected |= {name: max(each.values()), **{f"{name}/{lr}": accuracy for lr, accuracy in each.items()}}
    expected["val/attentive"] = expected["val/attentive_place" if several else "val/attentive"]
    torch.testing.assert_close(dict(trainer.callback_metrics), expected)
    assert probe.best.keys() == expected.keys()


def written_out(heads, tokens, labels, batch_size, epochs, lr, weight_decay):
    """The same training with a loop over samples for the loss."""
    plain = {name for name, _ in heads.named_parameters() if name.endswith("bias") or "norm" in name}
    groups = [
        {"params": [p for name, p in heads.named_parameters() if (name in plain) == spared], "weight_decay": decay}
        for spared, decay in ((True, 0.0), (False, weight_decay))
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    for _ in range(epochs):
        for batch, *targets in zip(*(each.split(batch_size) for each in (tokens, *labels)), strict=True):
            (logits,) = heads(batch)
            losses = [
                -found[row].log_softmax(0)[target[row]]
                for found, target in zip(logits, targets, strict=True)
                for row in range(len(batch))
                if target[row] >= 0
            ]
            optimizer.zero_grad()
            (sum(losses) / (len(losses) / len(labels))).backward()
            optimizer.step()


# the norm is of each micro-batch, as in any network
@pytest.mark.parametrize(("batch_size", "accumulate", "normalize"), [(16, 1, True), (16, 1, False), (8, 2, False)])
def test_it_equals_training_written_out_with_accumulation_and_unlabeled_samples(
    fit, places, batch_size, accumulate, normalize
):
    tokens, place = places(32)
    late = place // 2
    place[:6], place[20:23], late[3:9] = -1, -1, -1
    probe = OnlineAttentiveProbe(lrs=(1e-2,), weight_decay=0.5, normalize=normalize)
    val = places(32, seed=1)[0]
    # heads start alike in every run
    heads = probe.build_heads(tokens, [4, 2])
    untrained = heads.eval()(val)[0][0].detach()
    written_out(heads.train(), tokens, [place, late], 16, epochs=3, lr=1e-2, weight_decay=0.5)
    train, classes = (tokens, {"place": place, "late": late}), {"place": 4, "late": 2}
    options = {"accumulate_grad_batches": accumulate, "limit_val_batches": 0, "max_epochs": 3}
    _, trainer = fit(probe, train, train, classes, batch_size, **options)
    assert trainer.global_step == 6
    # the loss does not depend on the bias of keys, so that rounding moves it: compare what heads say
    scores = probe.scores(val)["lr=0.01"]
    for label, expected in zip(classes, heads.eval()(val)[0], strict=True):
        torch.testing.assert_close(scores[label], expected, rtol=1e-3, atol=1e-4)
    assert (scores["place"] - untrained).abs().max() > 0.1


def test_a_resumed_run_ends_as_the_undisturbed_one(fit, places, tmp_path):
    whole, _ = fit(OnlineAttentiveProbe(depth=2), places(80), max_epochs=2)
    half, trainer = fit(OnlineAttentiveProbe(depth=2), places(80), max_epochs=1)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    assert "OnlineAttentiveProbe" in torch.load(tmp_path / "half.ckpt", weights_only=True)["callbacks"]
    resumed, trainer = fit(OnlineAttentiveProbe(depth=2), places(80), max_epochs=2, ckpt_path=tmp_path / "half.ckpt")
    assert trainer.global_step == resumed["optimizer"]["state"][0]["step"] == 10
    assert whole["options"] == {"variants": 3, "depth": 2, "num_heads": 1, "generation": 2, "normalize": True}
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)
    assert not torch.equal(half["heads"]["variants.0.1.weight"], whole["heads"]["variants.0.1.weight"])


@pytest.mark.parametrize(("width", "classes"), [(8, 3), (6, 4)])
def test_a_checkpoint_of_other_heads_is_refused(fit, places, width, classes):
    trained, other = OnlineAttentiveProbe(), OnlineAttentiveProbe()
    fit(trained, places(16))
    other.load_state_dict(trained.state_dict())
    rows = places(16, width=width, classes=classes)
    with pytest.raises(MisconfigurationException, match=r"has classes \{'': 4\} on 8 features and "):
        fit(other, rows, rows, classes)


def test_options_of_another_run_are_refused_or_taken(fit, places):
    trained = OnlineAttentiveProbe(lrs=(1e-2, 1e-3))
    fit(trained, places(16))
    deeper, faster = OnlineAttentiveProbe(lrs=(1e-2, 1e-3), depth=2), OnlineAttentiveProbe(lrs=(0.5, 0.2))
    for probe in (deeper, faster):
        probe.load_state_dict(trained.state_dict())
    with pytest.raises(MisconfigurationException, match=r"'variants': 2, 'depth': 1, .* this run has .* 'depth': 2"):
        fit(deeper, places(16))
    state, _ = fit(faster, places(16))
    assert [group["lr"] for group in state["optimizer"]["param_groups"]] == [0.5, 0.5, 0.2, 0.2]


def test_a_batch_of_one_trains_where_nothing_is_normalized(fit, places):
    state, _ = fit(OnlineAttentiveProbe(), places(4), batch_size=1)
    assert state["seen"]


@pytest.mark.parametrize(("precision", "dtype"), [("bf16-mixed", torch.bfloat16), ("32-true", torch.float32)])
def test_attention_runs_in_the_trainers_precision_and_losses_in_float32(
    fit, places, quiet_trainer, precision, dtype, monkeypatch
):
    inside, outside = [], []
    forward, loss = CrossAttention.forward, ClassLabel.loss
    monkeypatch.setattr(
        CrossAttention, "forward", lambda self, *x: inside.append(self.q(x[0]).dtype) or forward(self, *x)
    )
    monkeypatch.setattr(ClassLabel, "loss", lambda self, *x: outside.append(x[0].dtype) or loss(self, *x))
    state, _ = fit(OnlineAttentiveProbe(lrs=(1e-2,)), places(64), precision=precision)
    assert set(inside) == {dtype}
    assert set(outside) == {torch.float32}
    assert {each.dtype for name, each in state["heads"].items() if "num_batches" not in name} == {torch.float32}


@pytest.mark.slow
def test_values_and_multi_hot_labels_are_learned_by_attention_too(fit, places):
    def labels(place):
        return {"value": 100.0 + 10 * place, "tags": torch.stack([place % 2, place // 2], dim=1)}

    (train, place), (val, val_place) = places(256), places(64, seed=1)
    probe = OnlineAttentiveProbe(lrs=(1e-5, 1e-2))
    _, trainer = fit(probe, (train, labels(place)), (val, labels(val_place)), None, max_epochs=10)
    found = trainer.callback_metrics
    assert found["val/attentive_r2"] == found["val/attentive_value_r2"] == found["val/attentive_value_r2/lr=0.01"] > 0.9
    assert found["val/attentive_map"] == found["val/attentive_tags_map"] > 0.9
    # the variant that is best by R2 gives its own error
    assert found["val/attentive_mae"] == found["val/attentive_value_mae/lr=0.01"] < 5
