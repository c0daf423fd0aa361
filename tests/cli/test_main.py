import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torchvision.transforms.v2.functional import to_image

import jepa_lightning
from jepa_lightning import IJEPA, JEPAModule
from jepa_lightning.callbacks import CollapseMonitor, LastCheckpoint, OnlineLinearProbe, Summary
from jepa_lightning.checkpoints import CheckpointFiles
from jepa_lightning.cli.lightning_cli import JEPACLI
from jepa_lightning.cli.main import main
from jepa_lightning.data import JEPADataModule

Build = Callable[..., Any]
FOLDER = ("--data", "ImageFolderDataModule", "--data.root", "images")


class Built(JEPACLI):
    """Stops before the run, to look at what is built."""

    def __init__(self, *args: str) -> None:
        with contextlib.suppress(StopIteration):
            super().__init__(args)

    def after_instantiate_classes(self) -> None:
        raise StopIteration


def weights(path: Path | str) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


def short(config: str) -> list[str]:
    """A run of one step without probes."""
    return ["fit", "--config", config, "--trainer.max_steps=1", "--trainer.callbacks=Summary"]


def images(root: Path) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in ("cat", "dog"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(8):
                pixels = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.{('png', 'jpeg')[i % 2]}")


def test_fit_writes_logs_config_and_checkpoints_and_prints_a_summary(tiny_cli: str, capsys: Any) -> None:
    main(["fit", "--config", tiny_cli])
    run = Path("logs/IJEPA/version_0")
    assert (run / "config.yaml").is_file()
    assert list(run.glob("events.out.tfevents.*"))
    assert torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 8
    model = IJEPA.load_from_checkpoint(run / "checkpoints/best.ckpt")
    assert model.hparams["width"] == 48
    printed = capsys.readouterr().out
    command = f"jepa-lightning predict --config {run}/config.yaml --ckpt_path {run}/checkpoints/best.ckpt"
    for text in ("8 steps in", "raw pixels", "random init", "trained", "linear best", "shape", str(run), command):
        assert text in printed
    assert len(printed[printed.index("IJEPA on") :].splitlines()) <= 24


@pytest.mark.parametrize("data", [("--data", "DigitsDataModule"), FOLDER])
def test_other_data_needs_no_other_change(tiny_cli: str, tmp_path: Path, capsys: Any, data: tuple[str, ...]) -> None:
    images(tmp_path / "images")
    main(["fit", "--config", tiny_cli, *data, "--trainer.max_steps", "2"])
    seen = capsys.readouterr()
    assert f"IJEPA on {data[1]}: 2 steps" in seen.out
    assert "discard" not in seen.err


def test_classes_of_ones_own_by_import_path(tiny_cli: str, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "mine.py").write_text(
        "from jepa_lightning import IJEPA\n"
        "from jepa_lightning.data import ShapesDataModule\n"
        "class MyIJEPA(IJEPA):\n"
        "    def __init__(self, factor: float = 2.0, **kwargs) -> None:\n"
        "        super().__init__(**kwargs)\n"
        "        self.factor = factor\n"
        "class MyShapes(ShapesDataModule):\n"
        "    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    classes = ["--model", "mine.MyIJEPA", "--model.factor", "3", "--data", "mine.MyShapes"]
    main(["fit", "--config", tiny_cli, *classes, "--trainer.max_steps", "1"])
    import mine  # type: ignore[import-not-found]

    model = mine.MyIJEPA.load_from_checkpoint("logs/MyIJEPA/version_0/checkpoints/last.ckpt")
    assert (model.factor, model.hparams["width"]) == (3.0, 48)


@pytest.mark.slow
@pytest.mark.parametrize(
    "safe", [False, pytest.param(True, marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="has no -P"))]
)
def test_classes_of_the_working_folder_are_found_from_the_entry_point(
    tiny_cli: str, tmp_path: Path, safe: bool
) -> None:
    Path("own_classes.py").write_text(
        "from lightning.pytorch import Callback\n"
        "from jepa_lightning import IJEPA\n"
        "from jepa_lightning.data import ShapesDataModule\n"
        "class Mine(IJEPA): pass\n"
        "class Data(ShapesDataModule): pass\n"
        "class Saying(Callback):\n"
        "    def on_train_start(self, *_): print('my own callback')\n"
    )
    Path("own.yaml").write_text("trainer: {callbacks: [own_classes.Saying]}")
    # as the console script does it: the folder of the script is on the path, and not the working folder
    script = tmp_path / "bin" / "jepa-lightning"
    script.parent.mkdir()
    script.write_text("import sys\nfrom jepa_lightning.cli.main import main\nsys.exit(main())\n")
    command = [sys.executable, *(["-P"] if safe else []), str(script), *short(tiny_cli), "--model", "own_classes.Mine"]
    command += ["--data", "own_classes.Data", "--config", "own.yaml"]
    package = str(Path(jepa_lightning.__file__).parents[1])
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": package})
    assert (done.returncode == 0) is not safe, done.stderr[-2000:]
    assert ("my own callback" in done.stdout) is not safe
    assert Path("logs/Mine/version_0/config.yaml").exists() is not safe


def test_the_path_of_imports_is_put_back(tiny_cli: str) -> None:
    before = list(sys.path)
    main(["methods"])
    with pytest.raises(SystemExit):
        main(["fit", "--config", "none.yaml"])
    assert sys.path == before


@pytest.mark.parametrize("command", ["predict", "validate", "test"])
def test_weights_that_are_not_from_a_checkpoint_are_named_untrained(
    tiny_cli: str, python_checkpoint: str, capsys: Any, command: str
) -> None:
    line = "jepa-lightning: no --ckpt_path: IJEPA has untrained weights, unless it loads others by itself."
    Built(command, "--config", tiny_cli)
    assert line in capsys.readouterr().out.splitlines()
    Built(command, "--config", tiny_cli, "--ckpt_path", python_checkpoint)
    Built("fit", "--config", tiny_cli)
    assert "untrained" not in capsys.readouterr().out


def test_charts_of_a_run(tiny_cli: str) -> None:
    main(["fit", "--config", tiny_cli, "--trainer.callbacks=OnlineLinearProbe"])
    events = EventAccumulator("logs/IJEPA/version_0").Reload()
    tags = set(events.Tags()["scalars"])
    assert {"lr/predictor-weight_decay", "train/samples_per_second", "final/linear", "final/loss"} <= tags
    rates = [event.value for event in events.Scalars("lr/predictor")]
    assert len({*rates}) > 4
    assert "_hparams_/session_end_info" in events.summary_metadata


@pytest.mark.slow
def test_a_stopped_run_continues_with_last_and_ends_as_one_that_was_not(
    tiny_cli: str, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "stopping.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class Power(Callback):\n"
        "    def on_train_batch_end(self, trainer, *_):\n"
        "        if trainer.global_step == 6:\n"
        "            raise ConnectionError('power cut')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    main(["fit", "--config", tiny_cli, "--trainer.default_root_dir", "whole"])
    with pytest.raises(ConnectionError):
        main(["fit", "--config", tiny_cli, "--trainer.callbacks+=stopping.Power"])
    assert torch.load("logs/IJEPA/version_0/checkpoints/last.ckpt", weights_only=True)["global_step"] == 4
    main(["fit", "--config", tiny_cli, "--ckpt_path", "last"])
    assert [path.name for path in Path("logs/IJEPA").iterdir()] == ["version_0"]
    whole, resumed = (weights(f"{root}/IJEPA/version_0/checkpoints/last.ckpt") for root in ("whole", "logs"))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.fixture
def python_checkpoint(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path) -> str:
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(tiny_ijepa(width=24, lr=0.002), shapes())
    trainer.save_checkpoint(tmp_path / "python.ckpt")
    return str(tmp_path / "python.ckpt")


def test_last_continues_in_the_folder_of_the_newest_run(tiny_cli: str, python_checkpoint: str) -> None:
    for version in (0, 1):
        folder = Path(f"logs/IJEPA/version_{version}/checkpoints")
        folder.mkdir(parents=True)
        shutil.copy(python_checkpoint, folder / "last.ckpt")
    cli = Built("fit", "--config", tiny_cli, "--ckpt_path", "last")
    assert cli.config.fit.ckpt_path == "logs/IJEPA/version_1/checkpoints/last.ckpt"
    assert cli.run_folder == Path("logs/IJEPA/version_1")


@pytest.mark.slow
def test_auto_continues_where_there_is_something_and_else_begins(
    tiny_cli: str, python_checkpoint: str, capsys: Any
) -> None:
    cli = Built("fit", "--config", tiny_cli, "--ckpt_path", "auto")
    assert cli.config.fit.ckpt_path is None
    assert capsys.readouterr().out.splitlines()[0] == (
        "jepa-lightning: --ckpt_path auto: starts a new run, there is no logs/IJEPA/*/checkpoints/last.ckpt."
    )
    last = Path("logs/IJEPA/version_3/checkpoints/last.ckpt")
    last.parent.mkdir(parents=True)
    shutil.copy(python_checkpoint, last)
    cli = Built("fit", "--config", tiny_cli, "--ckpt_path", "auto")
    assert cli.config.fit.ckpt_path == str(last)
    assert cli.model.lr == 0.002
    assert f"--ckpt_path auto: resumes from {last}." in capsys.readouterr().out
    # one was being put in its place when the run was killed
    aside = last.parent / ".previous" / "last.ckpt"
    aside.parent.mkdir()
    last.rename(aside)
    for given in ("auto", str(last)):
        cli = Built("fit", "--config", tiny_cli, "--ckpt_path", given)
        assert cli.config.fit.ckpt_path == str(aside)
    assert Built("fit", "--config", tiny_cli, "--ckpt_path", "last").run_folder == Path("logs/IJEPA/version_3")


def test_auto_follows_a_folder_of_ones_own(tiny_cli: str) -> None:
    arguments = ["fit", "--config", tiny_cli, "--trainer.callbacks=LastCheckpoint", "--trainer.callbacks.dirpath=mine"]
    main([*arguments, "--trainer.max_steps", "2", "--ckpt_path", "auto"])
    main([*arguments, "--trainer.max_steps", "3", "--ckpt_path", "auto"])
    assert torch.load("mine/last.ckpt", weights_only=True)["global_step"] == 3
    assert len(list(Path("logs/IJEPA").glob("*/events*"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("source", ["command line", "python"])
def test_a_checkpoint_alone_is_enough_to_predict_on_a_folder(
    tiny_cli: str, python_checkpoint: str, tmp_path: Path, source: str, capsys: Any
) -> None:
    images(tmp_path / "images")
    checkpoint = python_checkpoint
    if source == "command line":
        main(["fit", "--config", tiny_cli, "--trainer.max_steps", "1"])
        checkpoint = "logs/IJEPA/version_0/checkpoints/last.ckpt"
    before = set(Path("logs").rglob("*"))
    main(["predict", "--model", "IJEPA", "--ckpt_path", checkpoint, *FOLDER, "--features", "out/features.npz"])
    assert "wrote 32 features of width" in capsys.readouterr().out
    assert set(Path("logs").rglob("*")) == before  # nothing but the file
    found = np.load("out/features.npz")
    model = IJEPA.load_from_checkpoint(checkpoint).eval()
    row = list(found["paths"]).index("val/dog/3.jpeg")
    assert found["labels"][row] == 1
    view = model.pipeline().eval_transform(to_image(Image.open("images/val/dog/3.jpeg")))[0]
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found["features"][row]), model(view[None])[0], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_options_come_from_the_checkpoint_where_neither_configuration_nor_command_line_gives_them(
    tiny_cli: str, python_checkpoint: str, capsys: Any
) -> None:
    arguments = ["fit", "--config", tiny_cli, "--ckpt_path", python_checkpoint]
    cli = Built(*arguments)
    assert (cli.model.hparams["width"], cli.model.lr) == (48, 0.002)
    assert cli.config.fit.ckpt_path == python_checkpoint
    assert capsys.readouterr().out.splitlines()[0] == (
        "jepa-lightning: given for this run: width=48 (the checkpoint has 24); leave an option out to keep the "
        "checkpoint's."
    )
    Path("rate.yaml").write_text("model: {class_path: IJEPA, init_args: {lr: 0.003, ema: [0.9, 0.9]}}")
    cli = Built("fit", "--config", tiny_cli, "--config", "rate.yaml", "--ckpt_path", python_checkpoint)
    assert (cli.model.lr, cli.model.ema) == (0.003, (0.9, 0.9))
    given = "lr=0.003 (the checkpoint has 0.002), ema=(0.9, 0.9) (the checkpoint has (0.996, 1.0))"
    assert sorted(given.split(", ")) == sorted(
        part
        for part in capsys.readouterr().out.split("for this run: ")[1].split(";")[0].split(", ")
        if "width" not in part
    )
    cli = Built(*arguments, "--config", "rate.yaml", "--model.lr", "0.5", "--model.content=2")
    assert (cli.model.lr, cli.model.ema) == (0.5, (0.9, 0.9))
    assert Built("fit", "--config", tiny_cli).model.lr == 1e-3


@pytest.mark.slow
def test_options_that_make_other_weights_are_named_in_the_error(
    tiny_cli: str, python_checkpoint: str, capsys: Any
) -> None:
    for command in ("fit", "validate"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--config", tiny_cli, "--ckpt_path", python_checkpoint, "--trainer.callbacks=Summary"])
        assert stop.value.code == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("jepa-lightning: error: the checkpoint does not fit IJEPA, it has tensors")
        assert line.endswith("Options given for this run: width=48 (the checkpoint has 24).")


@pytest.mark.slow
def test_the_runs_own_configuration_resumes_it_without_a_word(tiny_cli: str, capsys: Any) -> None:
    main([*short(tiny_cli), "--model.lr", "0.003"])
    capsys.readouterr()
    own = ["fit", "--config", "logs/IJEPA/version_0/config.yaml", "--ckpt_path", "last"]
    main([*own, "--trainer.max_steps", "2"])
    assert "given for this run" not in capsys.readouterr().out
    assert Built(*own).model.lr == 0.003


@pytest.mark.parametrize("source", ["configuration", "command line"])
def test_after_a_loss_that_is_not_finite_a_lower_rate_resumes_the_run(
    tiny_cli: str, tmp_path: Path, capsys: Any, source: str
) -> None:
    # the loss breaks at the second step while the rate is high
    (tmp_path / "high.py").write_text(
        "from jepa_lightning import IJEPA\n"
        "class High(IJEPA):\n"
        "    def objective(self, batch, progress):\n"
        "        output = super().objective(batch, progress)\n"
        "        bad = self.global_step == 5 and self.lr > 0.01\n"
        "        return output._replace(loss=output.loss / (0.0 if bad else 1.0))\n"
    )
    config = yaml.safe_load(Path(tiny_cli).read_text())
    config["model"]["class_path"] = "high.High"
    config["model"]["init_args"] |= {"lr": 0.02, "betas": [0.9, 0.95]}
    config["trainer"]["callbacks"] = ["Summary"]
    Path("high.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit):
        main(["fit", "--config", "high.yaml"])
    assert "resume with --ckpt_path last" in capsys.readouterr().err
    lower = {"lr": 0.002, "betas": [0.8, 0.99]}
    if source == "configuration":
        config["model"]["init_args"] |= lower
        Path("high.yaml").write_text(yaml.safe_dump(config))
        options = []
    else:
        options = [f"--model.{name}={value}" for name, value in lower.items()]
    main(["fit", "--config", "high.yaml", "--ckpt_path", "last", *options])
    said = capsys.readouterr().out
    assert "lr=0.002 (the checkpoint has 0.02), betas=(0.8, 0.99) (the checkpoint has (0.9, 0.95))" in said
    last = torch.load("logs/High/version_0/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 8
    assert last["hyper_parameters"]["lr"] == 0.002
    for group in last["optimizer_states"][0]["param_groups"]:
        assert group["initial_lr"] == 0.002
        assert tuple(group["betas"]) == (0.8, 0.99)
    saved = yaml.safe_load(Path("logs/High/version_0/config.yaml").read_text())
    assert saved["model"]["init_args"]["lr"] == 0.002


@pytest.mark.slow
def test_validate_repeats_what_the_run_has_measured(tiny_cli: str, capsys: Any) -> None:
    main(["fit", "--config", tiny_cli])
    run = "logs/IJEPA/version_0"
    saver = next(
        state
        for name, state in torch.load(f"{run}/checkpoints/best.ckpt", weights_only=True)["callbacks"].items()
        if "val/linear" in name
    )
    capsys.readouterr()
    main(["validate", "--config", f"{run}/config.yaml", "--ckpt_path", f"{run}/checkpoints/best.ckpt"])
    (shown,) = re.findall(r"val/linear\W+([\d.]+)", capsys.readouterr().out)
    assert float(shown) == pytest.approx(float(saver["best_model_score"]))


def test_callbacks_of_the_configuration_stay_and_others_are_added(tiny_cli: str) -> None:
    cli = Built("fit", "--config", tiny_cli, "--trainer.callbacks+=EMACallback", "--trainer.callbacks.start=0.5")
    names = [type(callback).__name__ for callback in cli.trainer.callbacks]
    assert {"OnlineLinearProbe", "ProbeReport", "EMACallback", "Summary"} <= set(names)
    assert {"LearningRateMonitor", "Throughput", "HyperparameterMetrics"} <= set(names)
    assert [c.filename for c in cli.trainer.callbacks if isinstance(c, ModelCheckpoint)] == ["last", "best"]


def test_what_the_configuration_names_is_not_replaced(tiny_cli: str) -> None:
    own = ["--trainer.callbacks=ModelCheckpoint", "--trainer.callbacks.monitor=val/loss", "--trainer.logger=CSVLogger"]
    cli = Built("fit", "--config", tiny_cli, *own, "--trainer.logger.save_dir=mine")
    (saver,) = cli.trainer.checkpoint_callbacks
    assert saver.monitor == "val/loss"
    assert cli.trainer.log_dir == "mine/lightning_logs/version_0"
    bare = Built("fit", "--config", tiny_cli, "--trainer.logger=false", "--trainer.enable_checkpointing=false")
    assert bare.trainer.checkpoint_callbacks == []
    assert bare.trainer.loggers == []
    # Lightning refuses this callback in a run without a logger
    without = Built("fit", "--config", tiny_cli, "--trainer.logger=[]").trainer
    assert without.loggers == []
    assert not any(isinstance(callback, LearningRateMonitor) for callback in without.callbacks)


def test_the_last_checkpoint_that_is_named_counts(tiny_cli: str) -> None:
    more = ["--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks.every_n_steps=5"]
    cli = Built("fit", "--config", tiny_cli, "--trainer.callbacks+=LastCheckpoint", *more)
    (last,) = (saver for saver in cli.trainer.checkpoint_callbacks if isinstance(saver, LastCheckpoint))
    assert last.every_n_steps == 5
    assert [saver.filename for saver in cli.trainer.checkpoint_callbacks] == ["last", "best"]
    assert isinstance(cli.trainer.strategy.checkpoint_io, CheckpointFiles)


def test_what_slurm_asks_for_becomes_the_last_checkpoint(tiny_cli: str, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "asking.py").write_text(
        "from pathlib import Path\n"
        "from lightning.pytorch import Callback\n"
        "class Asking(Callback):\n"
        "    def on_train_batch_end(self, trainer, *_):\n"
        "        trainer.save_checkpoint('logs/hpc_ckpt_1.ckpt')\n"
        "        assert list(Path('logs').rglob('last.ckpt'))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    main(["fit", "--config", tiny_cli, "--trainer.max_steps", "1", "--trainer.callbacks+=asking.Asking"])
    assert [path.name for path in Path("logs").rglob("*.ckpt") if path.name != "best.ckpt"] == ["last.ckpt"]


def test_the_seed_is_fixed_unless_given(tiny_cli: str) -> None:
    first, again, other = (
        Built("fit", "--config", tiny_cli, *seed).model.context_encoder.patch_embed.proj.weight
        for seed in ((), (), ("--seed_everything", "1"))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def named(base: type) -> list[str]:
    classes = [cls for cls in base.__subclasses__() if cls.__module__.startswith("jepa_lightning")]
    return sorted(cls.__name__ for cls in classes) + [name for cls in classes for name in named(cls)]


@pytest.mark.parametrize(
    ("option", "name"),
    [("model", name) for name in named(JEPAModule)]
    + [("data", name) for name in named(JEPADataModule)]
    + [("trainer.callbacks", cls.__name__) for cls in (OnlineLinearProbe, CollapseMonitor)],
)
def test_every_option_is_documented(option: str, name: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", f"--{option}.help", name])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split("Help for", 1)[1].split())
    entries = text.split(f"--{option}.")[1:]
    assert entries
    # of a list the parser shows two forms, --model.mean MEAN, --model.mean+ MEAN, with the text behind the second
    shown = [entry for entry in entries if not entry.rstrip().endswith(",")]
    undocumented = [entry.split()[0] for entry in shown if not entry.split("(", 1)[0].split()[2:]]
    assert not [option for option in undocumented if not option.endswith(".help")]


def test_predict_writes_layers_and_tokens_and_replaces_a_file_only_where_told(tiny_cli: str, capsys: Any) -> None:
    predict = ["predict", "--config", tiny_cli, "--features", "f.npz"]
    main([*predict, "--layers", "[-2,-1]", "--tokens", "true"])
    found = np.load("f.npz")
    assert (found["features"].shape, found["tokens"].shape) == ((96, 96), (96, 16, 96))
    np.testing.assert_allclose(found["tokens"].mean(1), found["features"], atol=1e-5)
    assert found["class_names/shape"].tolist()[0] == "disc"
    with pytest.raises(SystemExit):
        main(predict)
    assert "cannot write features to f.npz: it exists; give another name" in capsys.readouterr().err
    main([*predict, "--overwrite", "true"])
    assert np.load("f.npz")["features"].shape == (96, 48)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--layers", "[-9]"], "layers (-9,) are not all there: the encoder has 2 blocks"),
        (["--features", "f.csv"], "its suffix is '.csv', give .npz or .safetensors"),
        (["--features", "tiny.yaml/f.npz"], "cannot write features to tiny.yaml/f.npz"),
    ],
)
def test_predict_that_cannot_be_done_ends_in_one_line(
    tiny_cli: str, capsys: Any, options: list[str], fault: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["predict", "--config", tiny_cli, "--features", "f.npz", *options])
    error = capsys.readouterr().err.strip()
    assert end.value.code == 1
    assert fault in error.splitlines()[-1]
    assert "Traceback" not in error
    assert not Path("f.npz").exists()


def test_features_are_an_option_of_predict_alone(capsys: Any) -> None:
    for command, there in (("predict", True), ("validate", False)):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        printed = " ".join(capsys.readouterr().out.split())
        assert ("--features FEATURES File to write" in printed) is there
        assert "return_predictions" not in printed


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_help_says_what_ckpt_path_takes_here(command: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    option = " ".join(capsys.readouterr().out.split()).partition("--ckpt_path CKPT_PATH ")[2].partition(" --")[0]
    assert '"last" for that of the run with the highest number' in option
    assert ('"auto"' in option) == (command == "fit")
    assert "hpc" not in option  # of Lightning's own text


def test_runs_as_a_module() -> None:
    result = subprocess.run([sys.executable, "-m", "jepa_lightning", "--version"], capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stdout.startswith("jepa-lightning ")


def test_the_saved_configuration_makes_the_same_run(tiny_cli: str) -> None:
    main(["fit", "--config", tiny_cli, "--trainer.max_steps", "1", "--model.lr", "0.003"])
    cli = Built("fit", "--config", "logs/IJEPA/version_0/config.yaml")
    assert cli.model.lr == 0.003
    assert cli.trainer.max_steps == 1
    assert [type(c) for c in cli.trainer.callbacks].count(Summary) == 1
    saved = yaml.safe_load(Path("logs/IJEPA/version_0/config.yaml").read_text())
    assert saved["trainer"]["logger"] is None
