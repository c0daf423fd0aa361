import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jepa_lightning.cli import pack as module
from jepa_lightning.cli.main import main
from jepa_lightning.data.shards.records import Shards
from jepa_lightning.data.shards.writer import write_shards

pytest.importorskip("litdata")

IMAGES = ("pack", "--data", "ImageFolderDataModule", "--data.root", "images", "--output")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with 20 images in two classes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(20):
        path = tmp_path / "images" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return tmp_path


@pytest.fixture
def error(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that a command ends in."""

    def build(*arguments: str) -> str:
        capsys.readouterr()  # an earlier command of the test may have drawn a bar
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code in (1, 2)
        lines = [line for line in capsys.readouterr().err.splitlines() if "file/s" not in line]
        assert len(lines) == 1, lines
        return lines[0].removeprefix("jepa-lightning: error: ")

    return build


def contents(output: Path) -> dict[str, bytes]:
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(output.rglob("*")) if path.is_file()}


def test_a_folder_becomes_shards_and_what_to_do_next_is_said(folder: Path, capsys: Any) -> None:
    main([*IMAGES, "out", "--shard_mb", "0.004"])
    assert len(Shards("out", "train")) == 18
    assert len(Shards("out", "val")) == 2
    printed = capsys.readouterr().out
    assert printed == (
        "out holds 18 images to train on and 2 to validate on, in 10 shards. To train on them: jepa-lightning fit "
        "--model MODEL --data StreamingImageDataModule --data.root out\n"
    )
    before = contents(folder / "out")
    main([*IMAGES, "out", "--shard_mb", "0.004"])
    assert "out held already 18 images" in capsys.readouterr().out
    assert contents(folder / "out") == before


def test_the_former_name_of_the_command_is_read(folder: Path) -> None:
    main(["optimize", *IMAGES[1:], "out"])
    assert len(Shards("out", "train")) == 18


def test_help_names_what_may_be_packed_and_gives_an_example(capsys: Any) -> None:
    with pytest.raises(SystemExit) as end:
        main(["pack", "--help"])
    assert end.value.code == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "Example: jepa-lightning pack --data ImageFolderDataModule --data.root DIR --output SHARDS" in words
    classes = [f"jepa_lightning.data.{name}DataModule" for name in ("ImageFolder", "MaskFolder", "VideoFolder")]
    assert f"known subclasses: {', '.join(classes)}, jepa_lightning.data.VideoManifestDataModule)" in words


def test_the_split_is_that_of_the_options(folder: Path) -> None:
    main([*IMAGES, "out", "--data.val_fraction", "0.4"])
    assert len(Shards("out", "val")) == 8


def test_a_list_becomes_shards(folder: Path, capsys: Any) -> None:
    (folder / "list.csv").write_text("path,label\n" + "".join(f"images/a/{i}.png,x\n" for i in range(0, 20, 2)))
    main(["pack", "--data", "VideoManifestDataModule", "--data.train", "list.csv", "--output", "out"])
    assert "--data StreamingVideoDataModule" in capsys.readouterr().out
    assert Shards("out", "train").shard_index.classes == ("x",)


def test_a_stopped_run_says_how_to_continue_and_does(folder: Path, error: Callable[..., str], monkeypatch: Any) -> None:
    def stopped(plan: Any, output: Path, report: Callable[[int], Any]) -> bool:
        def stop(files: int) -> None:
            raise KeyboardInterrupt

        return write_shards(plan, output, stop)

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_shards", stopped)
        assert error(*IMAGES, "out") == "stopped: the same command resumes the shards in out."
    main([*IMAGES, "out"])
    assert len(Shards("out", "train")) == 18


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--output is required."),
        (("--output", "out"), "--data is required."),
        (("--data", "ImageFolderDataModule", "--output", "out"), "--data.root is required by ImageFolderDataModule."),
        (("--data", "ImageFolder", "--output", "o"), "data: there is no class 'ImageFolder': did you mean 'Image"),
        (("--data", "ShapesDataModule", "--output", "out"), "data: ShapesDataModule cannot be used here."),
        ((*IMAGES[1:4], "none", "--output", "out"), "there is no folder none."),
        ((*IMAGES[1:], "out", "--shard_mb", "0"), "shard_mb=0 is not in the range from above 0 to 4278."),
        ((*IMAGES[1:], "out", "--shard_mb", "5000"), "shard_mb=5000 is not in the range from above 0 to 4278."),
        ((*IMAGES[1:], "out", "--shards", "3"), "there is no option 'shards'"),
        (
            (*IMAGES[1:], "s3://bucket/out"),
            "--output s3://bucket/out is an address: write to a folder, and upload that.",
        ),
        ((*IMAGES[1:], __file__), f"cannot write to {__file__}: Not a directory."),
        (
            ("--data", "VideoManifestDataModule", "--data.train", "none.csv", "--output", "out"),
            "there is no list none.csv.",
        ),
    ],
)
def test_what_is_wrong_with_the_input_is_said_in_one_line(
    folder: Path, error: Callable[..., str], arguments: tuple[str, ...], message: str
) -> None:
    assert error("pack", *arguments).startswith(message)


def test_a_missing_shard_of_a_finished_output_is_named(folder: Path, error: Callable[..., str]) -> None:
    main([*IMAGES, "out"])
    (folder / "out/train/chunk-0-0.bin").unlink()
    assert error(*IMAGES, "out").startswith("the shard out/train/chunk-0-0.bin is missing: copy it again")


def test_a_folder_that_is_no_shards_ends_fit_in_one_line(folder: Path, error: Callable[..., str]) -> None:
    arguments = ("fit", "--model", "IJEPA", "--data", "StreamingImageDataModule", "--data.root", "images")
    assert error(*arguments).startswith("there is no images/train/index.json: images holds no shards.")


@pytest.mark.slow
def test_a_killed_command_continues_and_ends_with_the_same_bytes(folder: Path) -> None:
    command = [sys.executable, "-m", "jepa_lightning", *IMAGES]
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert subprocess.run([*command, "whole", "--shard_mb=0.0015"], **quiet).returncode == 0
    for _ in range(20):  # on a busy machine a run may be over before this process has its turn to kill it
        shutil.rmtree(folder / "killed", ignore_errors=True)
        process = subprocess.Popen([*command, "killed", "--shard_mb=0.0015"], **quiet)
        while not list((folder / "killed").rglob("*.bin")):
            assert process.poll() in (None, 0)
            time.sleep(0.001)
        time.sleep(0.01 * random.random())
        process.kill()
        if process.wait() == -signal.SIGKILL:
            break
    else:
        pytest.fail("all runs were over before they could be killed")
    assert subprocess.run([*command, "killed", "--shard_mb=0.0015"], **quiet).returncode == 0
    assert contents(folder / "killed") == contents(folder / "whole")


def test_channels_other_than_rgb_do_not_go_into_shards(folder: Path, error: Callable[..., str]) -> None:
    assert error(*IMAGES, "out", "--data.in_channels", "13").startswith("in_channels has no effect, since images in ")
    assert not (folder / "out").exists()


def test_masks_are_not_lost_in_shards(folder: Path, error: Callable[..., str]) -> None:
    (folder / "masks").mkdir()
    said = error("pack", "--data", "MaskFolderDataModule", "--data.root", ".", "--output", "out")
    assert said.startswith(
        "shards hold no masks: pack the images alone, with --data ImageFolderDataModule --data.root "
    )
    assert not (folder / "out").exists()


def test_shards_do_not_go_into_the_folder_of_the_files(folder: Path, error: Callable[..., str]) -> None:
    assert error(*IMAGES, "images").startswith("--output images is the folder of the files themselves")
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["a", "b"]


@pytest.mark.parametrize("output", ["images/out", "images/a/out", "elsewhere/out", "images/../images/a"])
def test_shards_do_not_go_below_the_folder_of_the_files(folder: Path, error: Callable[..., str], output: str) -> None:
    (folder / "elsewhere").symlink_to("images/a")
    before = contents(folder)
    assert error(*IMAGES, output).startswith(f"--output {output} is inside the folder of the files, images: give")
    assert contents(folder) == before


def test_shards_may_lie_beside_a_list(folder: Path) -> None:
    (folder / "list.csv").write_text("path,label\n" + "".join(f"images/a/{i}.png,x\n" for i in range(0, 20, 2)))
    main(["pack", "--data", "VideoManifestDataModule", "--data.train", str(folder / "list.csv"), "--output", "out"])
    assert len(Shards("out", "train")) == 9


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_folders_of_frames_and_pipes_do_not_go_into_shards(folder: Path, error: Callable[..., str]) -> None:
    arguments = ("pack", "--data", "VideoFolderDataModule", "--data.root", ".", "--data.frames", "true")
    said = error(*arguments, "--output", str(folder.with_name("out")))
    assert "is not a regular file, and shards hold nothing else" in said
    os.mkfifo(folder / "pipe.mp4")
    (folder / "list.csv").write_text("path\npipe.mp4\nimages/a/0.png\n")
    said = error("pack", "--data", "VideoManifestDataModule", "--data.train", "list.csv", "--output", "out")
    assert said.startswith("pipe.mp4 is not a regular file")
