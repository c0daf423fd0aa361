import csv
from pathlib import Path

import pytest
import torch

from jepa_lightning import IJEPA

TINY = ["--steps", "2", "--every", "1", "--width", "48", "--depth", "1", "--batch-size", "8", "--probe-scenes", "64",
        "--train-scenes", "64", "--precision", "32-true"]  # fmt: skip


@pytest.fixture
def study(example, monkeypatch):
    found = example("collapse_study.py")
    monkeypatch.setattr(found, "COMMON", found.COMMON | {"min_keep": 4})
    return found


@pytest.fixture
def variants(example):
    return example("collapse_variants.py")


def small(variants, name):
    options = {"encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8,
               "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 2, "num_targets": 2,
               "min_keep": 4}  # fmt: skip
    chosen = variants.VARIANTS[name]
    torch.manual_seed(0)
    module = chosen.module(**options | chosen.options)
    pipeline = module.pipeline()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    return module, pipeline.collate([pipeline.transform(image) for image in images])


def test_a_study_that_was_killed_continues(study, monkeypatch, capsys):
    run = ["--variants", "m = 1", *TINY, "--out", "out.v2"]
    study.main([*run, "--seeds", "0"])
    first = Path("out.v2.csv").read_text()
    trained = []
    train = study.train
    monkeypatch.setattr(
        study, "train", lambda variant, seed, *rest: trained.append(seed) or train(variant, seed, *rest)
    )
    study.main([*run, "--seeds", "0", "1"])
    assert trained == [1]
    assert Path("out.v2.csv").read_text().startswith(first)
    rows = list(csv.DictReader(Path("out.v2.csv").read_text().splitlines()))
    assert [(row["run"], row["seed"], row["step"]) for row in rows[:4]] == [
        ("m = 1", "0", "0"), ("m = 1", "0", "1"), ("m = 1", "0", "2"), ("m = 1", "1", "0"),
    ]  # fmt: skip
    # the target of m = 1 stays, and the context encoder moves
    assert rows[0]["rank"] == rows[2]["rank"]
    assert rows[0]["context_rank"] == rows[0]["rank"] != rows[2]["context_rank"]
    assert "| m = 1 |" in Path("out.v2.md").read_text()
    assert Path("out.v2.png").stat().st_size > 10_000
    with pytest.raises(SystemExit, match="give another --out"):
        study.main([*run, "--steps", "3"])


@pytest.mark.slow
def test_the_quick_study_has_all_variants(study, variants):
    study.main(["--quick", "--out", "quick"])
    lines = Path("quick.md").read_text().splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[3:]] == list(variants.VARIANTS)


def test_without_stop_gradient_targets_have_one(variants):
    for name, expected in (("m = 0", False), ("gradient to targets", True), ("content, gradient", True)):
        module, batch = small(variants, name)
        assert module.target_tokens(module.encode_target(batch.views[0])).requires_grad == expected, name


def test_predictors_see_what_they_are_said_to_see(variants):
    module, batch = small(variants, "no predictor")
    (predicted,) = module.predictions(batch)
    context = module.context_encoder(batch.views[0], keep=batch.masks[0].context)
    torch.testing.assert_close(predicted[:, 1, 1], context.mean(dim=1))
    module, batch = small(variants, "linear predictor")
    index, target = batch.masks[0].context, batch.masks[0].target
    one, two = torch.randn(2, 4, index.shape[1], 48)
    zero = module.predictor(torch.zeros_like(one), index, target)
    found = module.predictor(one + two, index, target) - zero
    parts = (module.predictor(one, index, target) - zero, module.predictor(two, index, target) - zero)
    torch.testing.assert_close(found, parts[0] + parts[1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(zero[:, :, 0], zero[:, :, 1])  # it knows positions


def test_every_variant_trains(variants):
    for name in variants.VARIANTS:
        module, batch = small(variants, name)
        assert isinstance(module, IJEPA)
        loss = module.objective(batch, 0.0).loss
        loss.backward()
        assert loss.isfinite()
        assert any(weight.grad is not None for weight in module.context_encoder.parameters()), name


def test_a_batch_of_one_kind_has_one_shape_and_color(variants):
    torch.manual_seed(0)
    labels = {"shape": torch.randint(3, (96,)), "color": torch.randint(2, (96,))}
    batches = list(variants.OneKind(labels, 16))
    assert [len(batch) for batch in batches] == [16] * 6
    kinds = [{(int(labels["shape"][i]), int(labels["color"][i])) for i in batch} for batch in batches]
    assert all(len(kind) == 1 for kind in kinds)
    assert len(set.union(*kinds)) > 1


def test_alarms_are_those_of_the_monitor(study):
    good = {"effective_rank": 5, "std": 0.1, "content_share": 0.5, "energy": 0.3, "energy_other": 0.3,
            "energy_blind": 0.4, "energy_gap": 0.0}  # fmt: skip
    rows = [{**good, "step": step} for step in (0, 100, 200)]
    assert study.alarms(rows) == []
    assert study.alarms([rows[0], *({**row, "energy": 0.41} for row in rows[1:])]) == ["fragments"]
    assert study.alarms([rows[0], *({**row, "std": 0.001} for row in rows[1:])]) == ["std"]
