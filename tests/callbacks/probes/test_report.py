import csv
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader

from jepa_lightning.callbacks import ProbeReport
from jepa_lightning.callbacks.probes import report as probe_report
from jepa_lightning.callbacks.probes.draws import drawn
from jepa_lightning.callbacks.probes.report import not_improved
from jepa_lightning.probing.attentive import attentive_probe
from jepa_lightning.probing.linear import linear_probe

Build = Callable[..., Any]


def run(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, *callbacks: Any, **options: Any) -> tuple[Any, Any]:
    model = tiny_ijepa()
    torch.manual_seed(3)
    trainer = quiet_trainer(max_steps=3, callbacks=list(callbacks), **options)
    trainer.fit(model, shapes(num_train=128, num_val=64), ckpt_path=None)
    return trainer, model


def test_measures_pixels_start_and_end(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    report = ProbeReport()
    trainer, model = run(tiny_ijepa, shapes, quiet_trainer, report)
    assert list(report.accuracy) == ["raw pixels", "random init", "trained"]
    data = trainer.datamodule
    for kind, module in (("random init", tiny_ijepa()), ("trained", model)):
        module.eval()
        sets = []
        for loader in (data.memory_dataloader(), data.val_dataloader()):
            batches = list(loader)
            with torch.no_grad():
                features = torch.cat([module(batch.views[0]) for batch in batches])
            labels = {name: torch.cat([batch.labels[name] for batch in batches]) for name in batches[0].labels}
            sets += [features, labels]
        expected = linear_probe(*sets)
        # the samples come in another order, which moves sums in the last digit
        assert report.accuracy[kind] == pytest.approx(expected, abs=1.5 / 64)


@pytest.mark.slow
def test_an_attentive_probe_reads_the_tokens(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    report = ProbeReport(attentive_epochs=2)
    trainer, model = run(tiny_ijepa, shapes, quiet_trainer, report)
    assert list(report.accuracy) == [
        "raw pixels", "random init", "random init, attentive", "trained", "trained, attentive",
    ]  # fmt: skip
    model.eval()
    parts = []
    for loader in (drawn("report", trainer.datamodule.memory_dataloader(), 2000), trainer.datamodule.val_dataloader()):
        batches = list(loader)
        with torch.no_grad():
            tokens = torch.cat([model(batch.views[0], pool=False) for batch in batches]).bfloat16()
        parts += [tokens, {name: torch.cat([batch.labels[name] for batch in batches]) for name in batches[0].labels}]
    expected = attentive_probe(*parts, epochs=2)
    assert report.accuracy["trained, attentive"] == pytest.approx(expected, abs=2.5 / 64)
    # the mean over tokens is what the pooled features are
    plain = ProbeReport()
    run(tiny_ijepa, shapes, quiet_trainer, plain)
    assert report.accuracy["trained"] == pytest.approx(plain.accuracy["trained"], abs=1.5 / 64)


@pytest.mark.slow
def test_the_attentive_probe_may_have_more_samples_or_fewer(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: dict[str, list[int]] = {"linear": [], "attentive": []}

    def count(kind: str, probe: Callable[..., Any]) -> Callable[..., Any]:
        def counted(features: torch.Tensor, *rest: Any, **options: Any) -> Any:
            sizes[kind].append(len(features))
            return probe(features, *rest, **options)

        return counted

    monkeypatch.setattr(probe_report, "linear_probe", count("linear", linear_probe))
    monkeypatch.setattr(probe_report, "attentive_probe", count("attentive", attentive_probe))
    accuracies = []
    for samples, attentive_samples in ((40, None), (40, 100), (40, 30)):
        report = ProbeReport(samples, attentive_epochs=1, attentive_samples=attentive_samples)
        run(tiny_ijepa, shapes, quiet_trainer, report)
        accuracies.append(report.accuracy)
    assert sizes == {"linear": [40] * 9, "attentive": [40, 40, 100, 100, 30, 30]}
    # the linear probe sees the same samples beside any other
    assert accuracies[0]["trained"] == accuracies[1]["trained"] == accuracies[2]["trained"]


def test_training_is_the_same_with_and_without(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    states = []
    for callbacks in ((), (ProbeReport(20, attentive_epochs=1),)):
        _, model = run(tiny_ijepa, shapes, quiet_trainer, *callbacks)
        states.append(([p.clone() for p in model.state_dict().values()], torch.get_rng_state()))
        assert model.context_encoder.training
        assert not model.target_encoder.training
    (weights, generator), (weights_with, generator_with) = states
    assert all(torch.equal(a, b) for a, b in zip(weights, weights_with, strict=True))
    assert torch.equal(generator, generator_with)


class Diverged(Callback):
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        for weight in pl_module.target_encoder.parameters():
            weight.data.fill_(torch.nan)


def test_features_that_are_not_finite_are_left_out(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    report = ProbeReport(40)
    with pytest.warns(
        UserWarning, match="ProbeReport leaves out the probe of trained, since its features are not finite"
    ):
        run(tiny_ijepa, shapes, quiet_trainer, Diverged(), report)
    assert list(report.accuracy) == ["raw pixels", "random init"]


def test_names_what_training_has_not_improved() -> None:
    accuracy = {"raw pixels": {"shape": 0.4, "color": 0.9}, "trained": {"shape": 0.5, "color": 0.85}}
    assert not_improved(accuracy, "raw pixels") == ["color 85.0 % (was 90.0 %)"]
    assert not_improved(accuracy, "random init") == []
    assert not_improved({"a": {"x": 0.5}, "b": {"x": 0.4}}, "a", "b") == ["x 40.0 % (was 50.0 %)"]
    assert not_improved({"random init": {"": 0.4}, "trained": {"": 0.4}}, "random init") == [
        "class 40.0 % (was 40.0 %)"
    ]


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("raw pixels", "a linear probe no better than on raw pixels"),
        ("random init", "a linear probe no better than on random init"),
        ("random init, attentive", "an attentive probe no better than on random init"),
    ],
)
def test_says_so_at_the_end(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, before: str, said: str, recwarn: pytest.WarningsRecorder
) -> None:
    report = ProbeReport(20, attentive_epochs=1)
    out_of_reach = dict.fromkeys(("raw pixels", "random init", "random init, attentive"), -0.1) | {before: 1.1}
    report.accuracy = {kind: {"shape": figure} for kind, figure in out_of_reach.items()}
    run(tiny_ijepa, shapes, quiet_trainer, report)
    (warning,) = (str(each.message) for each in recwarn if "Training ends" in str(each.message))
    assert re.fullmatch(rf"Training ends with {said}: shape .* \(was 110.0 %\)\.", warning)


def test_the_start_is_kept_in_checkpoints_and_never_measured_on_trained_weights(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Any
) -> None:
    report = ProbeReport(20)
    trainer, _ = run(tiny_ijepa, shapes, quiet_trainer, report)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    start = dict(report.accuracy["random init"])
    resumed = ProbeReport(20)
    quiet_trainer(max_steps=4, callbacks=[resumed]).fit(
        tiny_ijepa(), shapes(num_train=128, num_val=64), ckpt_path=tmp_path / "run.ckpt"
    )
    assert resumed.accuracy["random init"] == start
    other, _ = run(tiny_ijepa, shapes, quiet_trainer)
    other.save_checkpoint(tmp_path / "other.ckpt")
    late = ProbeReport(20)
    quiet_trainer(max_steps=4, callbacks=[late]).fit(tiny_ijepa(), shapes(), ckpt_path=tmp_path / "other.ckpt")
    assert list(late.accuracy) == ["raw pixels", "trained"]


class Labeled:
    """Gives a data set other labels."""

    def __init__(self, source: Any, label: Callable[[int], Any]) -> None:
        self.source, self.label = source, label

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, Any, None]:
        return self.source[index][0], self.label(index), None


@pytest.mark.parametrize(
    ("label", "found"),
    [
        (lambda i: None, []),
        (lambda i: -1, []),
        (lambda i: i % 2 if i % 3 else -1, [""]),
        (lambda i: {"a": i % 2}, [""]),
    ],
)
def test_labels_that_are_missing_or_alone(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, label: Callable[[int], Any], found: list[str]
) -> None:
    data, report = shapes(), ProbeReport()
    data.setup()
    data.train_set, data.val_set = Labeled(data.train_set, label), Labeled(data.val_set, label)
    quiet_trainer(max_steps=1, callbacks=[report]).fit(tiny_ijepa(), data)
    assert [list(row) for row in report.accuracy.values()] == [found] * len(report.accuracy)
    assert bool(report.accuracy) is bool(found)


def test_needs_data_to_fit_on(tiny_ijepa: Build, quiet_trainer: Build) -> None:
    model = tiny_ijepa()
    loader = DataLoader([torch.rand(3, 32, 32)] * 8, batch_size=4, collate_fn=model.pipeline().collate)
    with pytest.raises(MisconfigurationException, match="ProbeReport needs validation samples, and this fit has none"):
        quiet_trainer(max_steps=1, callbacks=[ProbeReport()]).fit(model, loader)


def test_what_the_run_starts_from_is_a_flat_line_at_each_validation(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Any
) -> None:
    report, logger = ProbeReport(40), CSVLogger(tmp_path)
    trainer = quiet_trainer(max_epochs=3, callbacks=[report], logger=logger)
    trainer.fit(tiny_ijepa(), shapes())
    with open(f"{logger.log_dir}/metrics.csv") as file:
        logged = [row for row in csv.DictReader(file) if row["val/linear_raw_pixels"]]
    assert len(logged) == 3
    for kind, end in (("raw pixels", "raw_pixels"), ("random init", "random_init")):
        for name, value in report.accuracy[kind].items():
            assert [float(row[f"val/linear_{name}_{end}"]) for row in logged] == pytest.approx([value] * 3)
        first = next(iter(report.accuracy[kind].values()))
        assert [float(row[f"val/linear_{end}"]) for row in logged] == pytest.approx([first] * 3)


def test_a_second_fit_measures_its_own_start(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    report = ProbeReport(40)
    run(tiny_ijepa, shapes, quiet_trainer, report)
    report.accuracy["raw pixels"] = report.accuracy["random init"] = {"shape": -1.0}
    run(tiny_ijepa, shapes, quiet_trainer, report)
    assert report.accuracy["raw pixels"]["shape"] >= 0
    assert report.accuracy["random init"]["shape"] >= 0
