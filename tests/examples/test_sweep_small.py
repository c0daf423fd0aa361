from argparse import Namespace
from pathlib import Path

import pytest
import torch

from jepa_lightning import IJEPA
from jepa_lightning.interop.own_checkpoint import write_checkpoint


@pytest.fixture
def sweep(example):
    return example("sweep_small.py")


@pytest.fixture
def directions(example):
    return example("small_directions.py")


@pytest.fixture
def halves(example):
    return example("small_halves.py")


def test_both_halves_of_the_data_share_no_image(halves):
    digits = [halves.HalfOfDigits(half) for half in (0, 1)]
    for data in digits:
        data.build = data.build_datasets()
    places = [[subset.dataset.indices[i] for subset in data.build for i in subset.indices] for data in digits]
    assert not set(places[0]) & set(places[1])
    assert sorted(places[0] + places[1]) == list(range(1797))
    small = {"num_train": 60, "num_val": 12}
    one, others = (halves.ScenesOfStyles(styles, **small) for styles in (halves.ONE_STYLE, halves.OTHER_STYLES))
    for data, styles in ((one, {"plain"}), (others, set(halves.STYLES) - {"plain"})):
        train, val = data.build_datasets()
        found = {train.scenes[i][1]["background"] for i in train.chosen}
        assert {halves.STYLES[number] for number in found} <= styles
        assert 30 <= len(train) <= 90
        assert len(val)
        assert set(train[0][1]) == set(data.num_classes) == {"shape", "color", "count", "position", "scale"}


def test_every_direction_differs_from_the_method_as_it_is_and_learns(directions):
    small = {"width": 24, "heads": 3, "depth": 4}
    images = torch.randint(0, 256, (4, 3, 40, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = set()
    for direction in directions.DIRECTIONS:
        if direction.method not in ("IJEPA", "MAE", "SimCLR", "DINO"):
            continue
        torch.manual_seed(0)
        module = directions.build(direction, 32, 8, **small)
        pipeline = module.pipeline()
        loss = module.objective(pipeline.collate([pipeline.transform(image) for image in images]), 0.0).loss
        loss.backward()
        assert loss.isfinite(), direction
        plain = direction.name == directions.AS_IT_IS
        assert plain or direction.options or direction.module or direction.batch_size, direction
        assert (direction.method, direction.name) not in seen
        seen.add((direction.method, direction.name))


def test_positions_are_scaled(directions):
    options = {"encoder": "vit_tiny", "depth": 1, "image_size": 32, "patch_size": 8, "predictor_depth": 1,
               "predictor_dim": 24, "predictor_heads": 3}  # fmt: skip
    module, plain = directions.ScaledPositionsIJEPA(0.25, **options), IJEPA(**options)
    for name in ("context_encoder", "target_encoder"):
        torch.testing.assert_close(getattr(module, name).pos_embed, plain.context_encoder.pos_embed / 4)


def test_conditioned_encoders_are_told_the_hidden_positions(directions):
    encoder = directions.ConditionedEncoder(32, 8, width=24, depth=1, heads=3)
    keep = torch.tensor([[0, 1, 2, 3, 4, 5], [10, 11, 12, 13, 14, 15]])
    hidden = [[place for place in range(16) if place not in kept] for kept in keep.tolist()]
    slow = torch.stack([encoder.pos_embed[0, places].mean(dim=0, keepdim=True) for places in hidden])
    torch.testing.assert_close(encoder.extra_tokens(keep), slow, atol=1e-6, rtol=1e-5)
    for everything in (None, torch.arange(16)[None]):
        torch.testing.assert_close(encoder.extra_tokens(everything), encoder.pos_embed.mean(dim=1, keepdim=True))
    images = torch.rand(2, 3, 32, 32)
    plain = IJEPA("vit_tiny", width=24, depth=1, heads=3, image_size=32, patch_size=8, predictor_depth=1,
                  predictor_dim=24, predictor_heads=3).context_encoder  # fmt: skip
    plain.load_state_dict(encoder.state_dict())
    assert encoder(images, keep=keep).shape == (2, 6, 24)
    assert not torch.allclose(encoder(images, keep=keep), plain(images, keep=keep))


def row(method: str, name: str, half: str, data: str, accuracy: float) -> dict[str, object]:
    return {"method": method, "direction": name, "half": half, "data": data, "linear class": accuracy,
            "linear class, raw pixels": 10.0, "linear class, random init": 20.0, "seconds": 1.0}  # fmt: skip


def test_the_choice_is_made_on_one_half_alone(sweep, tmp_path: Path):
    kept = sweep.KeptRows(tmp_path / "sweep.csv", "sweep", {"steps": 1})
    whole, crops = sweep.Direction("SimCLR"), sweep.Direction("SimCLR", "crops")
    for seed in (0, 1):
        for direction, choice, report in ((whole, 50.0, 90.0), (crops, 60.0 + seed, 30.0)):
            for half, accuracy in (("choice", choice), ("report", report)):
                for data in sweep.HALVES[half]:
                    found = row(direction.method, direction.name, half, data, accuracy)
                    kept.add(sweep.name_of(direction, half, data), seed, [found])
    assert sweep.chosen(kept, [whole, crops]) == [whole, crops]
    kept.runs = {name: rows for name, rows in kept.runs.items() if "crops" not in name[0]}
    kept.add(sweep.name_of(crops, "choice", "digits"), 0, [row("SimCLR", "crops", "choice", "digits", 40.0)])
    assert sweep.chosen(kept, [whole, crops]) == [whole]
    lines = sweep.table(kept, [whole, crops], "choice").splitlines()
    assert lines[2].startswith("| raw pixels | | | 10.0 ± 0.0 | 10.0 ± 0.0 |")
    assert lines[4].startswith("| SimCLR | as it is | 2 | 50.0 ± 0.0 | 50.0 ± 0.0 |")
    assert lines[5].startswith("| SimCLR | crops | 1 | 40.0 |  |")


@pytest.mark.slow
def test_a_sweep_is_whole_and_resumes(sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "sweep.v2"
    words = f"--tiny --methods SimCLR --directions crops --seeds 0 --steps 2 --batch-size 16 --out {out}".split()
    sweep.main(words)
    first = Path(f"{out}.csv").read_text()
    rows = first.splitlines()[1:]
    assert len(rows) in (6, 8)  # two directions on two sets, then one or both on the other half
    assert "On the half that nothing was chosen on, 2 steps" in Path(f"{out}.md").read_text()
    monkeypatch.setattr(sweep, "train", None)  # nothing is left to train
    sweep.main(words)
    assert Path(f"{out}.csv").read_text() == first


def test_unknown_directions_are_refused(sweep, capsys):
    with pytest.raises(SystemExit):
        sweep.main(["--methods", "SimCLR", "--directions", "flips"])
    assert "there is no flips; known are as it is, crops, crops and stem, small." in capsys.readouterr().err


def test_the_other_half_may_have_other_seeds(sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def run(direction, half, data, seed, options):
        return row(direction.method, direction.name, half, data, 10.0 * (direction.name == "crops"))

    monkeypatch.setattr(sweep, "run", run)
    out = tmp_path / "sweep"
    sweep.main(f"--methods SimCLR --directions crops --seeds 0 --report-seeds 1 2 --out {out}".split())
    kept = sweep.KeptRows(Path(f"{out}.csv"), "sweep", {})
    seeds = {half: {seed for name, seed in kept.runs if half in name} for half in sweep.HALVES}
    assert seeds == {"choice": {"0"}, "report": {"1", "2"}}


def test_a_teacher_is_trained_in_the_first_half_of_the_steps(sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trained = []

    def train(module, images, steps, precision, checkpoint=None):
        trained.append((module, steps))
        if checkpoint:
            write_checkpoint(module, checkpoint)
        return {}, {"raw pixels": {}, "random init": {}}

    monkeypatch.setattr(sweep, "train", train)
    options = Namespace(tiny=True, steps=10, batch_size=16, num_workers=0, precision="32-true")
    sweep.run(sweep.Direction("IJEPA", options={"target_layers": 1}, taught_by="MAE"), "choice", "digits", 0, options)
    (teacher, first), (student, second) = trained
    assert (type(teacher).__name__, type(student).__name__) == ("MAE", "IJEPA")
    assert (first, second) == (5, 5)
    weights = teacher.eval_encoder.state_dict()
    assert weights
    assert all(torch.equal(value, weights[name]) for name, value in student.teacher.network.state_dict().items())
