import os
import resource
import shlex
import signal
import sys
import traceback
from pathlib import Path
from traceback import StackSummary
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_saver import save

from jepa_lightning.cli.errors import explain
from jepa_lightning.cli.main import main

VERSION = {"pytorch-lightning_version": "2.6.0"}


def stderr_of(args: list[str], capsys: Any) -> tuple[str, Any]:
    """The one line of error and the exit code."""
    with pytest.raises(SystemExit) as stop:
        main(args)
    seen = capsys.readouterr().err
    assert "Traceback" not in seen
    lines = [line for line in seen.splitlines() if "error" in line]
    assert len(lines) == 1
    assert seen.splitlines()[-1] == lines[0]
    assert lines[0].startswith("jepa-lightning: error: ")
    return lines[0].removeprefix("jepa-lightning: error: "), stop.value.code


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ("--model.patchsize 4", "IJEPA has no option 'patchsize': did you mean 'patch_size'?"),
        ("--model.init_args.patchsize=4", "IJEPA has no option 'patchsize': did you mean 'patch_size'?"),
        ("--trainer.limit_trian_batches 3", "the Trainer has no option 'limit_trian_batches': did you mean "),
        ("--modle IJEPA", "there is no option 'modle': did you mean 'model'?"),
        ("--model IJEP", "model: there is no class 'IJEP': did you mean 'IJEPA'?"),
        ("--data ShapeDataModule", "data: there is no class 'ShapeDataModule': did you mean 'ShapesDataModule'?"),
        ("--trainer.callbacks+=OnlineKN", "trainer.callbacks: there is no class 'OnlineKN': did you mean 'OnlineKNN'?"),
        ("--model torch.nn.Linear", "model: Import path does not correspond to a subclass of JEPAModule"),
        ("--model nowhere.Model", "model: No module named 'nowhere'"),
        ("--model.depth deep", "model.depth: expected int, got deep"),
        (
            "--model.regularizer none",
            "model.regularizer: expected one of 'variance_covariance', 'sigreg', 'uniformity', got none",
        ),
        ("--trainer.max_steps many", "trainer.max_steps: expected int, got many"),
        ("--trainer.callbacks+=OnlineKNN --trainer.callbacks.k abc", "trainer.callbacks.k: expected int, got abc"),
        (
            "--trainer.callbacks+=OnlineLinearProbe --trainer.callbacks.lr x",
            "trainer.callbacks.lr: expected float, got x",
        ),
        ("--trainer.precision fp16", "trainer.precision: expected int or one of 'transformer-engine', "),
        ("--data ImageFolderDataModule", "--data.root is required by ImageFolderDataModule."),
        ("--config nowhere.yaml", "File does not exist: "),
        ("--trainer {max_steps:\\ x}", "trainer.max_steps: expected int, got x"),
        ("--trainer nowhere.yaml", 'trainer: "nowhere.yaml" is neither a file nor a mapping of options'),
        ("--model.init_args 3", "command line: model.init_args: expected options, as in {lr: 0.001}, got 3"),
        (
            "--data IJEPA --data.init_args=[]",
            "command line: data.init_args: expected options, as in {lr: 0.001}, got []",
        ),
    ],
)
def test_arguments_that_cannot_be_understood(tiny_cli: str, capsys: Any, args: str, line: str) -> None:
    text, code = stderr_of(["fit", "--config", tiny_cli, *shlex.split(args)], capsys)
    assert text.startswith(line)
    assert code == 2


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("model: {class_path: IJEPA, init_args: {patchsize: 4}}", "IJEPA has no option 'patchsize': did you mean "),
        ("trainer: {max_step: 4}", "the Trainer has no option 'max_step': did you mean 'max_steps'?"),
        ("dat: {class_path: ShapesDataModule}", "there is no option 'dat': did you mean 'data'?"),
        (
            "trainer: {callbacks: [{class_path: OnlineKNN, init_args: {kk: 4}}]}",
            "OnlineKNN has no option 'kk': did you mean 'k'?",
        ),
        ("trainer: {callbacks: [{class_path: OnlineKN}]}", "trainer.callbacks: there is no class 'OnlineKN': did you"),
        ("trainer: more.yaml", "trainer.max_steps: expected int, got x"),
        ("trainer: nowhere.yaml", 'trainer: "nowhere.yaml" is neither a file nor a mapping of options'),
        ("fit: {trainer: {max_steps: 1}}", "'fit' is a command and no option: write its options without it"),
        ("model: [", "wrong.yaml, line 2: not YAML, while parsing a flow node did not find expected node content."),
    ],
)
def test_configurations_that_cannot_be_understood(tiny_cli: str, capsys: Any, wrong: str, line: str) -> None:
    Path("more.yaml").write_text("max_steps: x")
    Path("wrong.yaml").write_text(wrong)
    text, code = stderr_of(["fit", "--config", tiny_cli, "--config", "wrong.yaml"], capsys)
    assert text.startswith(line)
    assert code == 2


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ("--trainer.strategy fsdp", "The strategy `fsdp` requires a GPU accelerator"),
        ("--trainer.strategy fsdp3", "You selected an invalid strategy name: `strategy='fsdp3'`"),
        (
            "--trainer.strategy fsdp2 --trainer.precision bf16-true",
            "an EMA target cannot follow in precision bf16-true",
        ),
        ("--trainer.devices -1", "`devices` selected with `CPUAccelerator` should be an int > 0."),
        ("--trainer.devices 0", "`Trainer(devices='0')` value is not a valid input"),
        pytest.param(
            "--trainer.accelerator gpu --trainer.devices 8",
            "the Trainer is to use a GPU, and this machine has none: add --trainer.accelerator cpu",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
        ("--data ImageFolderDataModule --data.root nowhere", "there is no folder nowhere."),
        ("--data ImageFolderDataModule --data.root empty", "there are no images in empty"),
        ("--model.image_size 4", "an input of 4x4 is smaller than a patch of 8x8"),
        ("--model.image_size 16", "target_scale (0.15, 0.2) is less than one token of a 2x2 grid"),
        ("--model.encoder vit_tinny", "there is no encoder 'vit_tinny': did you mean vit_tiny?"),
        ("--model.optimizer adamww", "there is no optimizer 'adamww': did you mean adamw"),
        ("--data ImageFolderDataModule --data.root unlabeled", "OnlineLinearProbe needs labels, and ImageFolderData"),
        ("--data ImageFolderDataModule --data.root damaged", "images in damaged cannot be read"),
        ("--data ImageFolderDataModule --data.root damaged --data.num_workers 1", "images in damaged cannot be read"),
        (
            "--data PhysicsVideoDataModule --data.num_workers 0",
            "takes images and was given a video (Tensor)",
        ),
        (
            "--data PhysicsVideoDataModule --data.num_workers 1",
            "takes images and was given a video (Tensor)",
        ),
        (
            "--data VideoFolderDataModule --data.root films",
            "videos in films cannot be read",
        ),
        ("--data VideoFolderDataModule --data.root empty", "there are no videos in empty"),
        (
            "--model VJEPA --model.image_size 32 --data VideoFolderDataModule --data.root films --data.num_workers 0",
            "videos in films cannot be read",
        ),
        ("--data VideoManifestDataModule --data.train none.csv", "there is no list none.csv."),
        ("--trainer.default_root_dir tiny.yaml", "cannot create a folder for this run in tiny.yaml/IJEPA: Not a dir"),
        ("--trainer.default_root_dir " + "x" * 300, ": File name too long."),
        ("--model.image_size 1000000", "GiB were asked for at once. Lower --data.batch_size, --model.image_size or "),
        ("--seed_everything -1", "seed_everything=-1 is out of range: give a number in [0, 4294967295]."),
        ("--model.dict_kwargs.blub 3", "there is no option 'blub', which dict_kwargs gives: leave it out."),
        ("--ckpt_path nowhere.ckpt", "there is no checkpoint nowhere.ckpt."),
        ("--ckpt_path last", "there is no last checkpoint, logs/IJEPA/*/checkpoints/last.ckpt: "),
        (
            "--ckpt_path last --trainer.logger false",
            "there is no last checkpoint, logs/IJEPA/*/checkpoints/last.ckpt: ",
        ),
    ],
)
def test_input_that_does_not_work(tiny_cli: str, capsys: Any, args: str, line: str) -> None:
    Path("empty").mkdir()
    Path("unlabeled").mkdir()
    for i in range(24):
        Image.new("RGB", (32, 32)).save(f"unlabeled/{i}.png")
    for i in range(48):
        path = Path(f"damaged/{'ab'[i % 2]}/{i}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("no image")
        film = Path(f"films/{'ab'[i % 2]}/{i}.mp4")
        film.parent.mkdir(parents=True, exist_ok=True)
        film.write_text("no video")
    text, code = stderr_of(["fit", "--config", tiny_cli, *args.split()], capsys)
    assert line in text
    assert code == 1


@pytest.mark.slow
def test_checkpoints_that_do_not_fit(tiny_cli: str, capsys: Any) -> None:
    main(["fit", "--config", tiny_cli, "--trainer.max_steps", "1"])
    capsys.readouterr()
    path = Path("logs/IJEPA/version_0/checkpoints/last.ckpt")
    good = torch.load(path, weights_only=True)

    def error(content: Any, *args: str) -> str:
        if isinstance(content, bytes):
            Path("bad.ckpt").write_bytes(content)
        else:
            torch.save(content, "bad.ckpt")
        return stderr_of(["predict", "--config", tiny_cli, "--ckpt_path", "bad.ckpt", *args], capsys)[0]

    assert error(path.read_bytes()[:-500]).startswith("cannot read bad.ckpt (")
    assert error(b"something else").startswith("cannot read bad.ckpt (14 bytes) as a checkpoint")
    assert (
        error({"encoder": 1}) == "bad.ckpt is not a Lightning checkpoint: it holds a dict of encoder, and lacks "
        "pytorch-lightning_version and state_dict. Weights of another code base: see from_pretrained."
    )
    other = good | {"hyper_parameters": good["hyper_parameters"] | {"_class_path": "mine.Other"}}
    assert error(other).startswith("bad.ckpt is a checkpoint of mine.Other, not of jepa_lightning.IJEPA: give --model")
    alien = good | {"hyper_parameters": {"prototypes": 1}}
    assert error(alien).startswith(
        "the options in the checkpoint bad.ckpt do not fit: IJEPA has no option 'prototypes'"
    )
    assert "tensors 24 missing (" in error(good, "--model.depth", "3")
    unlike = error(good, "--model.patch_size", "4")
    assert 'of another size ("context_encoder.patch_embed.proj.weight": 48, 3, 8, 8 there, 48, 3, 4, 4 here)' in unlike


def test_folders_that_are_no_whole_checkpoint(tiny_cli: str, capsys: Any) -> None:
    folder = Path("sharded.ckpt")
    save({"state_dict": {"weight": torch.ones(3)}}, checkpoint_id=folder, no_dist=True)
    torch.save({**VERSION, "hyper_parameters": {"_class_path": "mine.Other"}}, folder / "meta.pt")

    def error(*args: str) -> str:
        return stderr_of(["fit", "--config", tiny_cli, "--ckpt_path", str(folder), *args], capsys)[0]

    assert error().startswith("sharded.ckpt is a checkpoint of mine.Other, not of jepa_lightning.IJEPA: give --model")
    torch.save({**VERSION, "hyper_parameters": {}}, folder / "meta.pt")
    assert "it has tensors" in error()
    (folder / "__0_0.distcp").unlink()
    assert error() == "the checkpoint sharded.ckpt lacks its piece __0_0.distcp: copy it there, or take another."
    (folder / ".metadata").unlink()
    (folder / "meta.pt").unlink()
    assert error() == "sharded.ckpt is a folder, but no checkpoint: it has neither meta.pt nor .metadata."


@pytest.mark.parametrize(
    ("cause", "line"),
    [
        (
            RuntimeError("Missing key in checkpoint state_dict: state_dict.encoder.blocks.2.norm1.weight."),
            'lacks "encoder.blocks.2.norm1.weight". Take the class',
        ),
        (
            ValueError(
                "Size mismatch between saved torch.Size([1, 16, 48]) and current: torch.Size([1, 64, 48]) for "
                "state_dict.encoder.pos_embed"
            ),
            'has "encoder.pos_embed" as 1, 16, 48, and here it is 1, 64, 48. Take the class',
        ),
    ],
)
def test_shards_of_another_architecture(cause: Exception, line: str) -> None:
    text = explain(CheckpointException("", {1: (cause, StackSummary())}))
    assert text is not None
    assert text.startswith(f"the checkpoint does not fit, it {line}")
    assert explain(CheckpointException("", {0: (RuntimeError("a fault"), StackSummary())})) is None


def test_joint_batch_norms_on_a_cpu() -> None:
    error = ValueError("SyncBatchNorm layers only work with GPU modules")
    assert explain(error) == "joint batch norms want a GPU: set --trainer.sync_batchnorm false."


def test_a_process_that_has_lost_another_one_says_so() -> None:
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:26798.")
    assert explain(lost) == "another process of this run has ended: what it said stands above, or in its own log."


def test_shards_of_the_other_fsdp(tiny_cli: str, capsys: Any) -> None:
    save({"model": {"weight": torch.ones(3)}}, checkpoint_id="sharded.ckpt", no_dist=True)
    torch.save({**VERSION, "hyper_parameters": {}}, "sharded.ckpt/meta.pt")
    text, code = stderr_of(
        ["fit", "--config", tiny_cli, "--ckpt_path", "sharded.ckpt", "--trainer.strategy", "fsdp2"], capsys
    )
    assert text == (
        "sharded.ckpt was written by FSDP1, and FSDP2 does not read it: make a file of it with `jepa-lightning "
        "consolidate sharded.ckpt OUT`, and give --ckpt_path OUT."
    )
    assert code == 2


def test_a_disk_that_fills_up_while_saving(tiny_cli: str, capsys: Any, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "filling.py").write_text(
        "import resource\n"
        "from lightning.pytorch import Callback\n"
        "class Filling(Callback):\n"
        "    def on_train_batch_end(self, trainer, *_):\n"
        "        if trainer.global_step == 6:\n"
        "            _, most = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, most))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        args = ["fit", "--config", tiny_cli, "--trainer.callbacks+=filling.Filling"]
        text, code = stderr_of([*args, "--trainer.callbacks+=LastCheckpoint"], capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    last = Path("logs/IJEPA/version_0/checkpoints/last.ckpt")
    assert text == (
        f"cannot write {last}, about 1.2 MB, at step 8: File too large. The one before is whole: free some space and "
        f"resume with --ckpt_path {last}"
    )
    assert code == 1
    assert torch.load(last, weights_only=True)["global_step"] == 4
    assert not (last.parent / ".unfinished").exists()


def test_a_loss_that_is_no_number(tiny_cli: str, capsys: Any, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "breaking.py").write_text(
        "from jepa_lightning import IJEPA\n"
        "class Breaking(IJEPA):\n"
        "    def objective(self, batch, progress):\n"
        "        output = super().objective(batch, progress)\n"
        "        return output._replace(loss=output.loss / (0.0 if self.global_step == 6 else 1.0))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text, code = stderr_of(["fit", "--config", tiny_cli, "--model", "breaking.Breaking"], capsys)
    assert text.startswith("the loss is inf at step 6, learning rate ")
    assert code == 1
    last = torch.load("logs/Breaking/version_0/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 4
    assert all(value.isfinite().all() for value in last["state_dict"].values())


def test_fewer_samples_than_a_batch(tiny_cli: str, capsys: Any) -> None:
    args = ["fit", "--config", tiny_cli, "--data.num_train", "8"]
    assert "has 8 training samples, fewer than one batch of 16" in stderr_of(args, capsys)[0]


def test_faults_of_a_program_keep_their_traceback(tiny_cli: str, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "faulty.py").write_text(
        "from jepa_lightning import IJEPA\n"
        "class InStep(IJEPA):\n"
        "    def objective(self, batch, progress):\n"
        "        return batch.views[0] + batch.views[0][..., :3]\n"
        "class InInit(IJEPA):\n"
        "    def __init__(self, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        None.nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match="must match"):
        main(["fit", "--config", tiny_cli, "--model", "faulty.InStep"])
    with pytest.raises(Exception, match="nothing") as caught:
        main(["fit", "--config", tiny_cli, "--model", "faulty.InInit"])
    assert "faulty.py" in "".join(traceback.format_exception(caught.value))


def test_a_logger_that_is_not_installed(tiny_cli: str, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    text, code = stderr_of(["fit", "--config", tiny_cli, "--trainer.logger", "WandbLogger"], capsys)
    assert text.startswith(("the module wandb is not installed, which ", "Requirement 'wandb"))
    assert "pip install" in text
    assert code == 1


def test_an_image_module_on_videos(tiny_cli: str, capsys: Any) -> None:
    av = pytest.importorskip("av")
    for i in range(24):
        path = Path(f"films/{'ab'[i % 2]}/{i}.mp4")
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as film:
            stream = film.add_stream("mpeg4", rate=8)
            stream.width = stream.height = 32
            for _ in range(4):
                film.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
            film.mux(stream.encode())
    for workers in ("0", "1"):
        arguments = ["--data", "VideoFolderDataModule", "--data.root", "films", "--data.num_workers", workers]
        text, code = stderr_of(["fit", "--config", tiny_cli, *arguments], capsys)
        assert text.startswith(
            "this method takes images and was given a video (CountedVideo): use a data set of images"
        )
        assert code == 1


def test_a_reader_that_goes_away_ends_the_command_quietly(monkeypatch: Any, capfd: Any) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        monkeypatch.setattr("sys.stdout", pipe)
        with pytest.raises(SystemExit) as stop:
            main(["methods"])
    assert stop.value.code == 128 + signal.SIGPIPE
    assert capfd.readouterr().err == ""


def test_debug_shows_everything(tiny_cli: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("JEPA_LIGHTNING_DEBUG", "1")
    with pytest.raises(FileNotFoundError):
        main(["fit", "--config", tiny_cli, "--data", "ImageFolderDataModule", "--data.root", "nowhere"])


def test_only_what_is_raised_on_purpose_is_explained() -> None:
    def caught(code: str, module: str) -> BaseException:
        try:
            exec(code, {"__name__": module})
        except Exception as error:
            return error
        raise AssertionError

    # exec leaves no line of code, as little as a compiled extension
    assert explain(caught("a, b = 1, 2, 3", "jepa_lightning.data.base")) is None
    assert explain(caught("raise ValueError('meant')", "elsewhere")) is None
    assert explain(caught("raise FileNotFoundError('gone')", "elsewhere")) == "gone"
