import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from jepa_lightning import VJEPA
from jepa_lightning.data import ClipSampler, TensorVideo, VideoFolderDataModule, masked_video_pipeline
from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.files import VideoFiles
from jepa_lightning.masking import RandomTubeMask

pytest.importorskip("av")

Make = Callable[..., Path]


def set_up(root: Path, **options: Any) -> VideoFolderDataModule:
    torch.manual_seed(0)
    pipeline = masked_video_pipeline((16, 16), ClipSampler(4, fps=5), (RandomTubeMask((2, 4, 4), 0.5),))
    data = VideoFolderDataModule(root, **{"num_workers": 0, "batch_size": 4, "pipeline": pipeline, **options})
    data.setup()
    return data


def account(data: VideoFolderDataModule) -> list[str]:
    """The files that are counted as unreadable."""
    files = data.val_set.dataset  # type: ignore[attr-defined]
    assert isinstance(files, VideoFiles)
    return [file.path for file, bad in zip(files.files, files.bad.tolist(), strict=True) if bad]


@pytest.fixture
def folder(tmp_path: Path, make_video: Make, spoil: Make) -> Path:
    """Four films to train on and eight to validate on, of these one empty and one whose frames alone are damaged."""
    for i in range(4):
        make_video(f"train/{'ab'[i % 2]}/{i}.mp4")
    for i in range(8):
        make_video(f"val/a/{i}.{'mkv' if i % 2 else 'mp4'}")
    (tmp_path / "val/a/3.mkv").write_bytes(b"")
    spoil(tmp_path / "val/a/4.mp4")
    return tmp_path


def test_folders_are_classes_and_split(tmp_path: Path, make_video: Make) -> None:
    for name in ("cat/vp9.webm", "dog/whole.gif", "dog/more/2.MP4"):
        make_video(f"train/{name}")
    make_video("val/dog/mpeg4.avi")
    make_video("test/cow/5.mp4")
    for name in ("train/cat/notes.txt", "train/cat/._1.mp4", "train/cat/1.jpg"):
        (tmp_path / name).write_bytes(b"")
    data = set_up(tmp_path)
    assert [data.train_set[i][1:] for i in range(data.num_samples)] == [
        (0, "train/cat/vp9.webm"),
        (1, "train/dog/more/2.MP4"),
        (1, "train/dog/whole.gif"),
    ]
    video, *rest = data.val_set[0]
    assert isinstance(video, VideoFile)
    assert (video.num_frames, rest) == (30, [1, "val/dog/mpeg4.avi"])
    assert (data.class_names, data.num_classes) == (("cat", "dog"), 2)


def test_images_may_stand_among_the_videos(tmp_path: Path, make_video: Make) -> None:
    make_video("train/dog/1.mp4")
    for name in ("train/cat/2.JPG", "train/dog/3.png", "val/dog/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (255, 0, 0)).save(tmp_path / name)
    data = set_up(tmp_path, images=True)
    assert [data.train_set[i][2] for i in range(3)] == ["train/cat/2.JPG", "train/dog/1.mp4", "train/dog/3.png"]
    (batch,) = list(data.memory_dataloader())
    assert batch.views[0].shape == (3, 3, 4, 16, 16)
    assert (batch.views[0].diff(dim=2) == 0).flatten(1).all(dim=1).tolist() == [True, False, True]
    assert batch.labels.tolist() == [0, 1, 1]
    (tmp_path / "train/cat/2.JPG").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="cannot read .*2.JPG, left out"):
        assert set_up(tmp_path, images=True, max_bad_share=0.5).train_set[0] is None


def test_without_a_folder_val_a_share_of_each_class_validates(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[i % 2] / f"{i}.mov").write_bytes(b"")
    data = set_up(tmp_path, val_fraction=0.2)
    files = data.val_set.dataset.files  # type: ignore[attr-defined]
    assert [file.label for file in files] == ["a"] * 12 + ["b"] * 12 + ["a"] * 3 + ["b"] * 3
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=re.escape(f"there are no videos in {tmp_path / 'none'}: looked for ")):
        set_up(tmp_path / "none")


def test_what_cannot_be_read_or_decoded_is_named_once_and_left_out(folder: Path, decodings: dict[str, int]) -> None:
    data = set_up(folder, max_bad_share=0.2, batch_size=8)
    with pytest.warns(UserWarning, match="cannot read") as caught:
        (batch,) = data.val_dataloader()
    assert batch.paths == tuple(f"val/a/{i}.{'mkv' if i % 2 else 'mp4'}" for i in (0, 1, 2, 5, 6, 7))
    assert batch.views[0].shape == (6, 3, 4, 16, 16)
    assert batch.masks[0].context.shape[0] == 6
    told = [str(warning.message).split(", left out: ") for warning in caught if "cannot read" in str(warning.message)]
    assert [name for name, _ in told] == [f"cannot read {folder / name}" for name in ("val/a/3.mkv", "val/a/4.mp4")]
    assert all(reason for _, reason in told)
    assert account(data) == ["val/a/3.mkv", "val/a/4.mp4"]
    decodings["opened"] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (again,) = data.val_dataloader()
    assert torch.equal(again.views[0], batch.views[0])
    assert decodings["opened"] == 6


@pytest.mark.filterwarnings("ignore:cannot read")
def test_workers_show_the_same_and_share_the_account(folder: Path) -> None:
    alone, workers = (set_up(folder, max_bad_share=0.2, num_workers=n, batch_size=2) for n in (0, 2))
    for loader in ("train_dataloader", "val_dataloader"):
        first, second = list(getattr(alone, loader)()), list(getattr(workers, loader)())
        assert [batch.paths for batch in first] == [batch.paths for batch in second]
        assert all(torch.equal(a.views[0], b.views[0]) for a, b in zip(first, second, strict=True))
    assert account(alone) == account(workers) == ["val/a/3.mkv", "val/a/4.mp4"]


@pytest.mark.filterwarnings("ignore:cannot read")
@pytest.mark.parametrize(("num_workers", "last"), [(0, "empty"), (0, "damaged"), (2, "damaged")])
def test_too_many_are_an_error_with_count_and_names(folder: Path, spoil: Make, num_workers: int, last: str) -> None:
    path = folder / "val/a/6.mp4"
    spoil(path) if last == "damaged" else path.write_bytes(b"")
    with pytest.raises(RuntimeError, match=r"3 of 12 videos .* max_bad_share 0.2 allows: val/a/3.mkv, val/a/4.mp4, "):
        list(set_up(folder, max_bad_share=0.2, num_workers=num_workers).val_dataloader())


@pytest.mark.parametrize("options", [{"frame_step": 3}, {"fps": 4.0}])
def test_batches_of_vjepa_are_the_frames_of_the_files(
    tmp_path: Path, make_video: Make, decode_all: Callable[..., Any], options: dict[str, Any]
) -> None:
    tiny = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "predictor_depth": 1, "predictor_dim": 24}
    pipeline = VJEPA(**tiny, image_size=32, patch_size=8, num_frames=4, min_keep=2, **options).pipeline()
    paths = [make_video(f"{split}/a/{i}.mkv", codec="libvpx-vp9") for split in ("train", "val") for i in range(3)]
    data = set_up(tmp_path, pipeline=pipeline, batch_size=3)
    (batch,) = data.val_dataloader()
    frames = [TensorVideo(decode_all(path), 10.0) for path in paths[3:]]
    assert torch.equal(batch.views[0], torch.stack([pipeline.eval_transform(video)[0] for video in frames]))
    assert batch.labels.tolist() == [0, 0, 0]
    assert len(batch.masks) == 2
    (batch,) = data.train_dataloader()
    assert batch.views[0].shape == (3, 3, 4, 32, 32)
