import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import (
    CollapseMonitor,
    EMACallback,
    FeatureWriter,
    OnlineAttentiveProbe,
    OnlineKNN,
    OnlineLinearProbe,
    ProbeReport,
    Summary,
)

spec: Any = importlib.util.spec_from_file_location("plain", Path(__file__).with_name("plain.py"))
plain = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain)
WHERE = {"features": "backbone", "num_classes": 3}


def everything(**where: Any) -> list[Any]:
    items = {"images": where.pop("images", 0)}
    labels = {"labels": where.pop("labels", 1)}
    return [
        OnlineLinearProbe(**WHERE, **items, **labels),
        OnlineLinearProbe(**WHERE, **items, **labels, name="often", every_n_steps=1),
        OnlineAttentiveProbe(**WHERE, **items, **labels, every_n_steps=1),
        OnlineKNN(**WHERE, **items, **labels, k=5, max_samples=30, every_n_epochs=1),
        ProbeReport(30, attentive_epochs=1, features="backbone", **items, **labels),
        CollapseMonitor(features="backbone", **items, memory=16, every_n_steps=4),
        EMACallback(0.9, 0.9, pairs=[("backbone.0", "average.0")]),
    ]


LOGGED = {"val/linear", "val/often", "val/attentive", "val/knn", "val/linear_random_init", "collapse/rank"}


def fit(quiet_trainer: Any, module: Any, callbacks: list[Any], *loaders: Any, **options: Any) -> Any:
    torch.manual_seed(1)
    trainer = quiet_trainer(callbacks=callbacks, **{"max_epochs": 4, **options})
    trainer.fit(module, *(loaders or plain.loaders()))
    return trainer


def test_all_callbacks_measure_and_leave_weights_and_module_alone(quiet_trainer: Any) -> None:
    watched, alone = plain.Plain(), plain.Plain()
    trainer = fit(quiet_trainer, watched, everything())
    # the EMA is meant to move its target
    fit(quiet_trainer, alone, [everything()[-1]])
    for name, value in alone.state_dict().items():
        assert torch.equal(watched.state_dict()[name], value), name
    assert watched.__dict__.keys() == alone.__dict__.keys()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in watched.modules())
    assert trainer.callback_metrics.keys() >= LOGGED
    assert trainer.callback_metrics["val/often"] > 0.9
    assert trainer.callback_metrics["val/knn"] > 0.9
    assert not {"collapse/energy", "collapse/content_share"} & trainer.callback_metrics.keys()


def test_features_are_those_of_the_submodule_in_eval_mode(quiet_trainer: Any) -> None:
    module, knn = plain.Plain(), OnlineKNN(**WHERE, k=5, max_samples=30)
    train, val = plain.loaders()
    trainer = quiet_trainer(callbacks=[knn])
    seen = []
    knn.scores = lambda features: seen.append(features) or {"": {"": torch.zeros(len(features), 3)}}  # type: ignore
    module.train_dataloader = lambda: train
    trainer.validate(module, val, verbose=False)
    expected = module.eval().backbone(torch.stack([image for image, _ in plain.samples(24, 1)])).mean((2, 3))
    torch.testing.assert_close(torch.cat(seen), expected.detach())


def test_two_reports_and_two_monitors_side_by_side(quiet_trainer: Any, tmp_path: Any, capsys: Any) -> None:
    def build() -> list[Any]:
        options: dict[str, Any] = {"memory": 16, "every_n_steps": 4}
        return [
            ProbeReport(30, features="backbone"), ProbeReport(30, features="backbone.0", name="early"),
            CollapseMonitor(features="backbone", **options),
            CollapseMonitor(features="backbone.0", **options, name="early_collapse"),
        ]  # fmt: skip

    def alone(callback: Any) -> Any:
        return fit(quiet_trainer, plain.Plain(), [callback], max_epochs=2)

    callbacks = build()
    trainer = fit(quiet_trainer, plain.Plain(), [*callbacks, Summary()], max_epochs=2)
    logged = trainer.callback_metrics
    for callback, single, name, usual in zip(
        callbacks, build(), [*["val/{}_raw_pixels"] * 2, *["{}/rank"] * 2], ["linear", "early", "collapse",
        "early_collapse"], strict=True,
    ):  # fmt: skip
        expected = alone(single).callback_metrics[name.format(usual)]
        assert logged[name.format(usual)] == expected
        torch.testing.assert_close(callback.state_dict(), single.state_dict(), rtol=0, atol=0)
    assert logged["collapse/rank"] != logged["early_collapse/rank"]
    said = capsys.readouterr().out
    assert "early trained" in said
    assert "early_collapse: rank (RankMe)" in said
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    again = build()
    quiet_trainer(callbacks=again, max_epochs=2).fit(plain.Plain(), *plain.loaders(), ckpt_path=tmp_path / "run.ckpt")
    torch.testing.assert_close(
        [each.state_dict() for each in again], [each.state_dict() for each in callbacks], rtol=0, atol=0
    )
    for kind in (CollapseMonitor, ProbeReport):
        with pytest.raises(MisconfigurationException, match=f"{kind.__name__} and Own both log as '{kind.name}'"):
            fit(quiet_trainer, plain.Plain(), [kind(), type("Own", (kind,), {})()], max_epochs=1)


def test_two_emas_are_refused_in_one_line(quiet_trainer: Any) -> None:
    both = [EMACallback(pairs=[("backbone.0", "average.0")]), EMACallback(pairs=[("backbone.1", "average.1")])]
    with pytest.raises(MisconfigurationException, match=r"has 2 EMACallbacks, .* with all networks in pairs=") as error:
        fit(quiet_trainer, plain.Plain(), both, max_epochs=1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["Skips", "Manual"])
def test_skipped_batches_and_manual_optimization(quiet_trainer: Any, kind: str) -> None:
    trainer = fit(quiet_trainer, getattr(plain, kind)(), everything())
    assert trainer.callback_metrics.keys() >= LOGGED
    assert trainer.callback_metrics["val/often"] > 0.9
    steps = trainer.callbacks[1].state_dict()["probe"]["optimizer"]["state"][0]["step"]
    # one step for each batch, except where nothing has been seen before the first step
    assert steps == (24 if kind == "Manual" else 23)


def test_steps_that_the_trainer_does_not_count_are_refused(quiet_trainer: Any) -> None:
    with pytest.raises(MisconfigurationException, match=r"counted no optimizer step .* in Uncounted.training_step"):
        fit(quiet_trainer, plain.Uncounted(), [OnlineLinearProbe(**WHERE)])


@pytest.mark.parametrize(
    "options",
    [
        {"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}, {"limit_train_batches": 3, "limit_val_batches": 2},
        {"overfit_batches": 2}, {"val_check_interval": 2},
    ],
)  # fmt: skip
def test_options_of_the_trainer(quiet_trainer: Any, options: dict[str, Any]) -> None:
    trainer = fit(quiet_trainer, plain.Plain(), everything(), **options)
    assert trainer.callback_metrics.keys() >= LOGGED - {"collapse/rank"}


def test_several_validation_loaders_and_none(quiet_trainer: Any) -> None:
    train, val = plain.loaders()
    trainer = fit(quiet_trainer, plain.Plain(), everything(), train, [val, val])
    assert trainer.callback_metrics["val/often/dataloader_idx_1"] == trainer.callback_metrics["val/often"]
    fit(quiet_trainer, plain.Plain(), everything()[:4], train)
    with pytest.raises(MisconfigurationException, match="ProbeReport needs validation samples"):
        fit(quiet_trainer, plain.Plain(), everything(), train)


def test_dict_batches_and_dicts_of_labels(quiet_trainer: Any) -> None:
    rows = [{"image": image, "digit": label} for image, label in plain.samples(48)]
    loader = DataLoader(rows, 8)  # type: ignore[arg-type]
    trainer = fit(quiet_trainer, plain.Plain(), everything(images="image", labels="digit"), loader, loader)
    assert trainer.callback_metrics.keys() >= LOGGED
    both = [(image, {"color": label, "dim": label % 2}) for image, label in plain.samples(48)]
    module = plain.Plain()
    module.take = lambda batch: (batch[0], batch[1]["color"])
    probe = OnlineLinearProbe({"color": 3, "dim": 2}, features="backbone", every_n_steps=1)
    trainer = fit(quiet_trainer, module, [probe], *[DataLoader(both, 8)] * 2)  # type: ignore[arg-type]
    assert trainer.callback_metrics.keys() >= {"val/linear_color", "val/linear_dim"}


def test_a_resumed_run_ends_as_the_undisturbed_one_and_a_second_fit_starts_afresh(
    quiet_trainer: Any, tmp_path: Any
) -> None:
    train, val = DataLoader(plain.samples(48), 8), plain.loaders()[1]
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=6, save_top_k=-1, filename="{step}")

    def module() -> Any:
        # no dropout, whose draws Lightning does not restore
        made = plain.Plain()
        made.backbone[3].p = 0.0
        return made

    callbacks = [*everything()[:3], everything()[5]]
    trainer = fit(quiet_trainer, module(), [*callbacks, keep], train, val, max_epochs=2, enable_checkpointing=True)
    whole = [callback.state_dict() for callback in callbacks]
    resumed = [*everything()[:3], everything()[5]]
    quiet_trainer(callbacks=resumed, max_epochs=2).fit(module(), train, val, ckpt_path=tmp_path / "step=6.ckpt")
    assert trainer.global_step == 12
    torch.testing.assert_close([each.state_dict() for each in resumed], whole, rtol=0, atol=0)
    fit(quiet_trainer, module(), resumed, train, val, max_epochs=2)
    torch.testing.assert_close([each.state_dict() for each in resumed], whole, rtol=0, atol=0)


def test_a_compiled_submodule(quiet_trainer: Any) -> None:
    module = plain.Plain()
    module.backbone = torch.compile(module.backbone, backend="eager")
    trainer = fit(quiet_trainer, module, everything()[1:2], max_epochs=2)
    assert trainer.callback_metrics["val/often"] > 0.5


def test_a_jepa_module_whose_training_step_returns_a_tensor(tiny_ijepa: Any, shapes: Any, quiet_trainer: Any) -> None:
    class Own(IJEPA):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return super().training_step(batch, batch_idx)["loss"]

    callbacks = [OnlineLinearProbe(), OnlineAttentiveProbe(), CollapseMonitor(every_n_steps=2, memory=16)]
    trainer = quiet_trainer(callbacks=callbacks, max_epochs=2)
    trainer.fit(tiny_ijepa(Own), datamodule=shapes())
    assert trainer.callback_metrics.keys() >= {"val/linear", "val/attentive", "collapse/rank", "collapse/energy"}


def test_predictions_are_written_with_labels_and_paths(quiet_trainer: Any, tmp_path: Any) -> None:
    rows = [(image, label, f"{i}.png") for i, (image, label) in enumerate(plain.samples(12))]
    module, path = plain.Plain(), tmp_path / "f.npz"
    writer = FeatureWriter(path, tokens=True, features="backbone", paths=2)
    quiet_trainer(callbacks=[writer]).predict(module, DataLoader(rows, 4), return_predictions=False)  # type: ignore
    found = np.load(path)
    maps = module.eval().backbone(torch.stack([row[0] for row in rows])).detach()
    np.testing.assert_allclose(found["features"], maps.mean((2, 3)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["tokens"], maps.flatten(2).transpose(1, 2), rtol=1e-5, atol=1e-6)
    assert found["labels"].tolist() == [int(row[1]) for row in rows]
    assert found["paths"].tolist() == [row[2] for row in rows]


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (OnlineLinearProbe(3), r"OnlineLinearProbe on Plain: the step returns no 'features'.*backbone, head, average"),
        (OnlineLinearProbe(3, features="bone"), r"nothing as 'bone', and Plain has no submodule 'bone'.*list of 2"),
        (OnlineLinearProbe(**WHERE, labels=2), r"has no labels=2. The batch is a list of 2 \(a tensor \[8, 3"),
        (OnlineLinearProbe(**WHERE, images="x"), "the batch has no images='x'.*write images= with an index"),
        (OnlineLinearProbe(features="backbone"), "has no num_classes"),
        (OnlineAttentiveProbe(3, features="head"), r"features='head': tokens are .*, not torch.float32 \[8, 3\]"),
        (OnlineKNN(3, features="logits"), "returns nothing as 'logits'"),
        (ProbeReport(features="logits"), "returns nothing as 'logits'"),
        (CollapseMonitor(), "CollapseMonitor on Plain: the step returns no 'features'"),
        (EMACallback(), "EMACallback has nothing to move: Plain has no EMA target"),
        (EMACallback(pairs=[("backbone.0", "head")]), "'head' of Plain receives gradients"),
        (EMACallback(pairs=[("backbone", "averag")]), "Plain has no submodule 'averag'"),
        (EMACallback(pairs=[("head", "average")]), "EMA: the .* has no parameter"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused_in_one_line(quiet_trainer: Any, callback: Any, said: str) -> None:
    module = plain.Plain()
    module.head.register_forward_pre_hook(lambda _, inputs: (inputs[0].flatten(1)[:, :8],))
    with pytest.raises((MisconfigurationException, ValueError), match=said) as error:
        fit(quiet_trainer, module, [callback], max_epochs=1)
    assert "\n" not in str(error.value)
