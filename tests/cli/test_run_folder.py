"""Each run has a folder of its own, and nothing that another run or a person has written is replaced."""

import contextlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from jepa_lightning.callbacks import LastCheckpoint
from jepa_lightning.cli.main import main
from jepa_lightning.cli.run_folder import check_checkpoint_folder, claim_logs, new_run

# as Weights & Biases and MLflow: files of its own elsewhere, and none of Lightning's folders
ELSEWHERE = """
from lightning.pytorch.loggers.logger import DummyLogger

class Elsewhere(DummyLogger):
    def __init__(self, save_dir: str | None = None) -> None:
        super().__init__()
        self.folder = save_dir

    @property
    def save_dir(self):
        return self.folder

    @property
    def name(self):
        return "project"

    @property
    def version(self):
        return "1a2b3c"
"""
LAST = "checkpoints/last.ckpt"


def short(config: str, *more: str) -> list[str]:
    """A run of one step without probes."""
    return ["fit", "--config", config, "--trainer.max_steps=1", "--trainer.callbacks=Summary", *more]


def error_of(arguments: list[str], capsys: Any) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text.splitlines()[-1].removeprefix("jepa-lightning: error: ")


def contents(*folders: str) -> dict[Path, bytes]:
    """Files of folders, without the lock, which says who is running."""
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.read_bytes() for path in files}


def test_new_runs_are_numbered_above_those_there_are(tmp_path: Path) -> None:
    runs = tmp_path / "logs/IJEPA"
    assert new_run(runs) == runs / "version_0"
    (runs / "version_7").mkdir()
    (runs / "version_8").touch()
    (runs / "version_old").mkdir()
    assert new_run(runs) == runs / "version_9"
    assert new_run(runs) == runs / "version_10"


def test_twenty_runs_at_once_have_twenty_folders(tmp_path: Path) -> None:
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda _: new_run(tmp_path / "threads"), range(200)))
    assert len({*taken}) == 200
    forks = get_context("fork")
    barrier, queue = forks.Barrier(20), forks.Queue()

    def take() -> None:
        barrier.wait(120)
        for _ in range(10):
            queue.put(new_run(tmp_path / "processes"))

    processes = [forks.Process(target=take) for _ in range(20)]
    for process in processes:
        process.start()
    taken = [queue.get(timeout=120) for _ in range(200)]
    for process in processes:
        process.join(120)
    assert {path.name for path in taken} == {f"version_{i}" for i in range(200)}


def test_a_root_that_is_a_file(tiny_cli: str, capsys: Any) -> None:
    Path("logs").write_text("mine")
    assert error_of(short(tiny_cli), capsys) == (
        "cannot create a folder for this run in logs/IJEPA: Not a directory. Give another --trainer.default_root_dir."
    )
    assert Path("logs").read_text() == "mine"


@pytest.mark.parametrize(
    "logger", [["elsewhere.Elsewhere"], ["elsewhere.Elsewhere", "--trainer.logger.save_dir=."], ["false"], ["true"]]
)
def test_whatever_the_logger_a_run_has_a_folder_and_leaves_others_files_alone(
    tiny_cli: str, tmp_path: Path, capsys: Any, logger: list[str]
) -> None:
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    mine = {Path(name): b"mine" for name in ("config.yaml", "hparams.yaml", "checkpoints/last.ckpt")}
    Path("checkpoints").mkdir()
    for path, text in mine.items():
        path.write_bytes(text)
    arguments = [*short(tiny_cli), "--trainer.logger", *logger]
    main(arguments)
    first = contents("logs")
    run = Path("logs/IJEPA/version_0")
    assert {run / "config.yaml", run / LAST} <= first.keys()
    assert len(list(run.glob("events*"))) == (logger == ["true"])
    assert f"  run          {run}\n" in capsys.readouterr().out
    main([*arguments, "--model.lr=0.5"])
    after = contents("logs")
    assert {path: after[path] for path in first} == first
    second = yaml.safe_load(after[Path("logs/IJEPA/version_1/config.yaml")])
    assert second["model"]["init_args"]["lr"] == 0.5
    assert Path("logs/IJEPA/version_1", LAST) in after
    assert {path: path.read_bytes() for path in mine} == mine


def test_several_loggers_and_a_resumed_run(tiny_cli: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(ELSEWHERE)
    csv = "{class_path: CSVLogger, init_args: {save_dir: metrics}}"
    arguments = short(tiny_cli, f"--trainer.logger=[elsewhere.Elsewhere, {csv}]")
    main([*arguments, "--trainer.max_steps=2"])
    main([*arguments, "--trainer.max_steps=2"])
    before = contents("logs/IJEPA/version_0", "metrics")
    main([*arguments, "--trainer.max_steps=4", "--ckpt_path=last"])
    assert sorted(path.name for path in Path("logs/IJEPA").iterdir()) == ["version_0", "version_1"]
    assert torch.load(f"logs/IJEPA/version_1/{LAST}", weights_only=True)["global_step"] == 4
    assert yaml.safe_load(Path("logs/IJEPA/version_1/config.yaml").read_text())["trainer"]["max_steps"] == 4
    after = contents("logs/IJEPA/version_0", "metrics")
    assert {path: after[path] for path in before} == before
    assert len(list(Path("metrics").rglob("metrics.csv"))) == 3


@pytest.mark.slow
def test_two_runs_at_once_have_two_folders_with_their_own_files(jobs: Any, tiny_cli: str, tmp_path: Path) -> None:
    (tmp_path / "who.py").write_text(
        "import os\n"
        "from pathlib import Path\n"
        "from lightning.pytorch import Callback\n"
        "class Who(Callback):\n"
        "    def on_train_start(self, trainer, *_):\n"
        "        Path(trainer.log_dir, 'who').write_text(os.environ['WHO'])\n"
        "    def on_save_checkpoint(self, trainer, pl_module, checkpoint):\n"
        "        checkpoint['who'] = os.environ['WHO']\n"
    )
    for logger in ("null", "false"):
        arguments = short(str(tmp_path / tiny_cli), f"--trainer.logger={logger}", "--trainer.callbacks+=who.Who")
        # not two ranks: each knows of itself only
        jobs.start(logger, *arguments, variables={"WHO": "RANK"})
        assert jobs.exit_codes(120) == [0, 0], (tmp_path / logger / "log").read_text()[-3000:]
        runs = sorted((tmp_path / logger / "logs/IJEPA").iterdir())
        assert [run.name for run in runs] == ["version_0", "version_1"]
        who = [(run / "who").read_text() for run in runs]
        assert sorted(who) == ["0", "1"]
        assert [torch.load(run / LAST, weights_only=True)["who"] for run in runs] == who
        assert all((run / "config.yaml").is_file() for run in runs)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["ddp", "torchrun", "slurm"])
@pytest.mark.parametrize("logger", ["null", "false"])
def test_ranks_agree_on_a_folder(jobs: Any, tiny_cli: str, tmp_path: Path, launcher: str, logger: str) -> None:
    arguments = [*short(str(tmp_path / tiny_cli)), "--trainer.devices=2", "--trainer.strategy=ddp"]
    arguments += [f"--trainer.logger={logger}"]
    folder = tmp_path / "job"
    folder.mkdir()
    for _ in range(2):
        if launcher == "ddp":
            command = [sys.executable, "-m", "jepa_lightning", *arguments]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
            assert done.returncode == 0, done.stderr[-3000:]
        else:
            variables = {
                "torchrun": {
                    "RANK": "RANK", "LOCAL_RANK": "RANK", "WORLD_SIZE": "2", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "2",
                    "TORCHELASTIC_RUN_ID": "none",
                },
                "slurm": {
                    "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "RANK", "SLURM_LOCALID": "RANK",
                    "SLURM_NODEID": "0", "SLURM_JOB_ID": "4321", "SLURM_JOB_NAME": "train",
                },
            }[launcher]  # fmt: skip
            jobs.start("job", *arguments, variables=variables)
            assert jobs.exit_codes(120) == [0, 0], (folder / "log").read_text()[-3000:]
    assert sorted(path.name for path in (folder / "logs/IJEPA").iterdir()) == ["version_0", "version_1"]
    for run in (folder / "logs/IJEPA").iterdir():
        assert (run / "config.yaml").is_file()
        assert (run / LAST).is_file()
        assert len(list(run.glob("events*"))) == (logger == "null")


@pytest.mark.slow
def test_a_second_resume_of_a_run_is_refused_while_the_first_one_runs(
    tiny_cli: str, tmp_path: Path, capsys: Any
) -> None:
    main(short(tiny_cli))
    (tmp_path / "waiting.py").write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from lightning.pytorch import Callback\n"
        "class Waiting(Callback):\n"
        "    def on_train_start(self, *_):\n"
        "        Path('waiting').touch()\n"
        "        time.sleep(120)\n"
    )
    more = ["--trainer.max_steps=2", "--ckpt_path=last"]
    command = [sys.executable, "-m", "jepa_lightning", *short(tiny_cli), *more, "--trainer.callbacks+=waiting.Waiting"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not Path("waiting").exists():
            assert first.poll() is None
        before = contents("logs")
        line = error_of([*short(tiny_cli), *more], capsys)
        assert line.startswith("another run is writing to ")
        assert f"logs/IJEPA/version_0 (process {first.pid} on " in line
        assert contents("logs") == before
    finally:
        first.kill()
        first.wait()
    main([*short(tiny_cli), *more])
    assert torch.load(f"logs/IJEPA/version_0/{LAST}", weights_only=True)["global_step"] == 2


def test_a_folder_of_checkpoints_of_another_run_is_refused_before_training(tiny_cli: str, capsys: Any) -> None:
    own = [*short(tiny_cli), "--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks.dirpath=mine"]
    main(own)
    before = contents("mine", "logs")
    last = Path("mine/last.ckpt").resolve()
    assert error_of(own, capsys) == (
        f"{last} is of another run, and LastCheckpoint could replace it: give it another dirpath or none, or resume "
        f"that run with --ckpt_path {last}."
    )
    assert contents("mine", "logs") == before
    main([*own, "--trainer.max_steps=2", "--ckpt_path=mine/last.ckpt"])
    main([*own, "--trainer.max_steps=3", "--ckpt_path=last"])
    assert torch.load("mine/last.ckpt", weights_only=True)["global_step"] == 3
    after = contents("logs")
    assert {path: after[path] for path in after if "version_0" in str(path)} == contents("logs/IJEPA/version_0")


def test_which_callbacks_would_replace_checkpoints(tmp_path: Path) -> None:
    savers = {
        "last": (LastCheckpoint(str(tmp_path)), False),
        "best": (ModelCheckpoint(tmp_path, "best", enable_version_counter=False), False),
        "counting": (ModelCheckpoint(tmp_path, "best"), True),
        "crash": (OnExceptionCheckpoint(tmp_path), False),
        "in the run": (LastCheckpoint(), False),
    }

    def refused(resumed: Path | None = None) -> set[str]:
        found = set()
        for name, (saver, counts) in savers.items():
            with contextlib.suppress(ValueError):
                check_checkpoint_folder(saver, counts, resumed)
                continue
            found.add(name)
        return found

    assert refused() == set()
    (tmp_path / "best.ckpt").touch()
    assert refused() == {"best", "crash"}
    (tmp_path / ".previous").mkdir()
    (tmp_path / ".previous/last.ckpt").touch()  # a run was killed while it saved a folder
    assert refused() == {"last", "best", "crash"}
    assert refused(tmp_path / "best.ckpt") == refused(tmp_path / ".previous/last.ckpt") == set()
    assert refused(tmp_path / "../best.ckpt") == {"last", "best", "crash"}


def test_loggers_with_folders_get_one_each(tmp_path: Path) -> None:
    def csv(**options: Any) -> CSVLogger:
        return CSVLogger(tmp_path, name="a", **options)

    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda _: claim_logs(csv()), range(16)))
    assert {logger.log_dir for logger in claimed} == {str(tmp_path / f"a/version_{i}") for i in range(16)}
    claimed[0].log_metrics({"x": 1.0}, 0)
    claimed[0].save()
    assert (Path(claimed[0].log_dir) / "metrics.csv").exists()
    with pytest.raises(ValueError, match=r"metrics.csv is of another run, and CSVLogger would delete it"):
        claim_logs(csv(version=claimed[0].version))
    assert claim_logs(csv(version="named")).log_dir == str(tmp_path / "a/named")
    board = claim_logs(TensorBoardLogger(tmp_path, name="a", version=0))  # adds a file of its own
    assert board.log_dir == str(tmp_path / "a/version_0")
    assert claim_logs(TensorBoardLogger(tmp_path, name="a", sub_dir="b")).log_dir == str(tmp_path / "a/version_16/b")


def test_features_do_not_replace_a_file(tiny_cli: str, capsys: Any) -> None:
    Path("features.npz").write_text("mine")
    line = error_of(["predict", "--config", tiny_cli], capsys)
    assert line.startswith("cannot write features to features.npz: it exists; give another name, or overwrite=True")
    assert Path("features.npz").read_text() == "mine"


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_weights_and_biases_and_mlflow(tiny_cli: str, monkeypatch: Any, package: str) -> None:
    pytest.importorskip(package)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    Path("config.yaml").write_text("mine")
    logger = {"wandb": ["WandbLogger"], "mlflow": ["MLFlowLogger", "--trainer.logger.save_dir=runs"]}[package]
    for _ in range(2):
        main([*short(tiny_cli), "--trainer.logger", *logger])
    assert Path("config.yaml").read_text() == "mine"
    for version in (0, 1):
        assert {"config.yaml", "checkpoints"} <= {path.name for path in Path(f"logs/IJEPA/version_{version}").iterdir()}
    shutil.rmtree("wandb", ignore_errors=True)


def test_a_trial_run_writes_nothing(tiny_cli: str) -> None:
    main([*short(tiny_cli), "--trainer.fast_dev_run=true"])
    assert not Path("logs").exists()
