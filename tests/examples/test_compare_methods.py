import json
from pathlib import Path

import pytest
from lightning.pytorch import Trainer

import jepa_lightning
from jepa_lightning import JEPAModule
from jepa_lightning.data import ShapesDataModule


def test_a_comparison_that_was_killed_continues(example, monkeypatch) -> None:
    compare = example("compare_methods.py")
    report = {"raw pixels": {"": 0.25}, "random init": {"": 0.5}}
    trained = []

    def train(module, *_):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(module)
        return {"linear class": 75.0, "s/step": 0.1}, report

    monkeypatch.setattr(compare, "build_method", lambda name, *_: name)
    monkeypatch.setattr(compare, "train", train)
    command = ["--methods", "MAE", "SimCLR", "--seeds", "0", "--data", "digits", "--out", "out.v2"]
    with pytest.raises(KeyboardInterrupt):
        compare.main(command)
    trained.insert(0, None)
    compare.main(command)
    assert trained == [None, "MAE", "SimCLR"]
    rows = [line.split(" | ")[:2] for line in Path("out.v2.md").read_text().splitlines()[2:]]
    assert sorted(path.name for path in Path().glob("out*")) == ["out.v2.csv", "out.v2.md", "out.v2.png"]
    assert rows == [["| raw pixels", "25.0"], ["| random init", "50.0"], ["| MAE", "75.0"], ["| SimCLR", "75.0"]]


@pytest.mark.slow
def test_writes_a_table_and_a_plot(example, tmp_path: Path, monkeypatch):
    compare = example("compare_methods.py")
    monkeypatch.setitem(compare.SIZES, "digits", (32, 8))
    monkeypatch.setitem(compare.ENCODER, "width", 48)
    monkeypatch.setitem(compare.ENCODER, "depth", 1)
    runs = ["--methods", "MAE", "SimCLR", "--seeds", "0", "1", "--steps", "2", "--batch-size", "8"]
    compare.main([*runs, "--data", "digits", "--num-workers", "0", "--out", str(tmp_path / "out" / "table")])
    head, _, *rows = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| raw pixels", "| random init", "| MAE", "| SimCLR"]
    assert head.startswith("| method | linear class | kNN class | ")
    assert all("±" in row.split(" | ")[1] for row in rows)
    assert (tmp_path / "out" / "table.png").stat().st_size > 1000
    # all runs are kept, so nothing is trained again
    monkeypatch.setattr(compare, "run", None)
    table = (tmp_path / "out" / "table.md").read_text()
    compare.main([*runs, "--data", "digits", "--num-workers", "0", "--out", str(tmp_path / "out" / "table")])
    assert (tmp_path / "out" / "table.md").read_text() == table
    with pytest.raises(SystemExit, match=r"holds runs with {'data': 'digits'}, and this study has {'data': 'shapes'}"):
        compare.main([*runs, "--out", str(tmp_path / "out" / "table")])
    with pytest.raises(SystemExit, match=r"holds runs with {'study': 'comparison'"):  # with as many steps, too
        compare.main([*runs, "--ablate", "--out", str(tmp_path / "out" / "table")])


def test_dense_columns_are_of_the_trained_weights_and_baselines_come_once(example, monkeypatch) -> None:
    compare = example("compare_methods.py")
    judged = []

    def train(module, data, steps, precision, checkpoint):
        Path(checkpoint).write_bytes(module.encode())
        return {"linear class": 75.0}, {name: {"": 0.5} for name in compare.BASELINES}

    def dense(checkpoint, folder, seed, baselines):
        judged.append((checkpoint.read_bytes().decode(), seed, baselines))
        rows = {name: {"mIoU": 10.0 * i} for i, name in enumerate(("trained", *compare.BASELINES), 1)}
        return rows if baselines else {"trained": {"mIoU": 40.0}}

    monkeypatch.setattr(compare, "build_method", lambda name, *_: name)
    monkeypatch.setattr(compare, "train", train)
    monkeypatch.setattr(compare, "dense", dense)
    compare.main(["--methods", "MAE", "SimCLR", "--seeds", "0", "--dense", "--out", "out"])
    assert judged == [("MAE", 0, True), ("SimCLR", 0, False)]
    rows = [line.split(" | ") for line in Path("out.md").read_text().splitlines()]
    assert [row[2].rstrip(" |") for row in rows if row[0] != "| ---"] == ["mIoU", "20.0", "30.0", "10.0", "40.0"]


@pytest.mark.slow
def test_dense_columns_are_those_of_the_command(example, tmp_path: Path) -> None:
    small = example("small_dense.py")
    module = jepa_lightning.MAE(image_size=48, patch_size=16, width=24, depth=1, heads=2, decoder_depth=1)
    trainer = Trainer(max_steps=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(module, datamodule=ShapesDataModule(num_train=16, num_val=8, image_size=48, batch_size=8))
    trainer.save_checkpoint("mae.ckpt")
    found = small.dense(Path("mae.ckpt"), Path("out"), seed=0, baselines=True, num_train=32, num_val=16)
    assert list(found) == ["trained", "random init", "raw pixels"]
    results = json.loads(Path("out", "results.json").read_text())
    assert found["trained"]["mIoU"] == 100 * results["segmentation"]["mask"]["miou"]
    assert found["raw pixels"]["depth R2"] == 100 * results["baselines"]["pixels"]["depth"]["depth"]["r2"]


def test_dense_columns_are_for_scenes(example, capsys) -> None:
    with pytest.raises(SystemExit):
        example("compare_methods.py").main(["--data", "digits", "--dense"])
    assert "--dense is for the comparison on --data shapes" in capsys.readouterr().err


def _is_method(name: str) -> bool:
    value = getattr(jepa_lightning, name)
    return isinstance(value, type) and issubclass(value, JEPAModule) and value.traits is not None


def test_every_method_on_images_has_options_of_its_own(example):
    compare = example("compare_methods.py")
    assert set(compare.OPTIONS) == {name for name in jepa_lightning.__all__ if _is_method(name)} - {
        "VJEPA",
        "WorldModel",
    }  # take clips


def test_refuses_an_unknown_method(example, capsys):
    with pytest.raises(SystemExit):
        example("compare_methods.py").main(["--methods", "SIMCLR"])
    assert "SimCLR" in capsys.readouterr().err
