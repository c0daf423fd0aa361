"""Folders of frames as the videos of a folder; PyAV is not needed."""

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor

from jepa_lightning import VJEPA
from jepa_lightning.callbacks import FeatureWriter
from jepa_lightning.data import ClipSampler, TensorVideo, VideoFolderDataModule, masked_video_pipeline
from jepa_lightning.masking import RandomTubeMask

TINY = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "predictor_depth": 1, "predictor_dim": 24}


def write(folder: Path, length: int = 12, seed: int = 0) -> Tensor:
    """A clip of noise as png files; its frames ``[T, 3, H, W]``."""
    folder.mkdir(parents=True)
    frames = np.random.default_rng(seed).integers(0, 256, (length, 20, 24, 3), dtype=np.uint8)
    for i, frame in enumerate(frames, 1):
        Image.fromarray(frame).save(folder / f"frame{i}.png")
    return torch.from_numpy(frames).permute(0, 3, 1, 2)


@pytest.fixture
def clips(tmp_path: Path) -> dict[str, Tensor]:
    """Four clips to train on and six to validate on."""
    names = [f"train/{'ab'[i % 2]}/{i}" for i in range(4)] + [f"val/{'ab'[i % 2]}/{i}" for i in range(6)]
    return {name: write(tmp_path / name, seed=seed) for seed, name in enumerate(names)}


def set_up(root: Path, **options: Any) -> VideoFolderDataModule:
    torch.manual_seed(0)
    pipeline = masked_video_pipeline((16, 16), ClipSampler(4, fps=5), (RandomTubeMask((2, 4, 4), 0.5),))
    defaults = {"num_workers": 0, "batch_size": 6, "pipeline": pipeline, "frames": True, "frames_fps": 10}
    data = VideoFolderDataModule(root, **{**defaults, **options})
    data.setup()
    return data


@pytest.mark.parametrize("options", [{"frame_step": 3}, {"fps": 4.0}])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_of_vjepa_are_the_frames_of_the_folders(
    tmp_path: Path, clips: dict[str, Tensor], monkeypatch: Any, num_workers: int, options: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    pipeline = VJEPA(**TINY, image_size=32, patch_size=8, num_frames=4, min_keep=2, **options).pipeline()
    data = set_up(tmp_path, pipeline=pipeline, num_workers=num_workers)
    (batch,) = data.val_dataloader()
    names = ["val/a/0", "val/a/2", "val/a/4", "val/b/1", "val/b/3", "val/b/5"]
    assert batch.paths == tuple(names)
    assert batch.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.class_names == ("a", "b")
    videos = [TensorVideo(clips[name], 10.0) for name in names]
    assert torch.equal(batch.views[0], torch.stack([pipeline.eval_transform(video)[0] for video in videos]))


def test_without_a_folder_val_a_share_of_each_class_validates(tmp_path: Path) -> None:
    for i in range(12):
        write(tmp_path / "ab"[i % 2] / f"clip{i}", length=1)
    data = set_up(tmp_path, val_fraction=0.3)
    assert [data.train_set[i][1] for i in range(8)] == [0] * 4 + [1] * 4
    assert [data.val_set[i][1] for i in range(4)] == [0, 0, 1, 1]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        for i in range(3):
            write(tmp_path / name / str(i), length=1)
    data = set_up(tmp_path)
    assert data.class_names == ("bus", "train")
    assert len(data.train_set) + len(data.val_set) == 6  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:cannot read")
def test_clips_with_frames_that_cannot_be_read_are_counted_as_files_are(
    tmp_path: Path, clips: dict[str, Tensor]
) -> None:
    (tmp_path / "val/a/2/frame8.png").write_bytes(b"")
    for frame in (tmp_path / "val/b/3").iterdir():
        frame.unlink()
    data = set_up(tmp_path, max_bad_share=0.2)
    with pytest.warns(UserWarning, match="cannot read") as caught:
        (batch,) = data.val_dataloader()
    told = [str(warning.message) for warning in caught if "cannot read" in str(warning.message)]
    assert told[0].startswith(f"cannot read {tmp_path / 'val/a/2'}, left out: frame frame8.png: cannot identify")
    assert told[1].startswith(f"cannot read {tmp_path / 'val/b/3'}, left out: it holds no frames")
    assert len(told) == 2
    assert batch.paths == ("val/a/0", "val/a/4", "val/b/1", "val/b/5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(data.val_dataloader())
    data = set_up(tmp_path, max_bad_share=0.1)
    message = "2 of 10 videos in .* cannot be read, more than max_bad_share 0.1 allows: val/a/2, val/b/3"
    with pytest.raises(RuntimeError, match=message):
        list(data.val_dataloader())


def test_features_are_written_with_the_folders_as_paths(tmp_path: Path, clips: dict[str, Tensor]) -> None:
    torch.manual_seed(0)
    module = VJEPA(**TINY, image_size=32, patch_size=8, num_frames=4, min_keep=2, frame_step=2)
    data = VideoFolderDataModule(tmp_path, frames=True, batch_size=4, num_workers=0)
    writer = FeatureWriter(tmp_path / "out.npz")
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, callbacks=[writer]
    )
    trainer.predict(module, data, return_predictions=False)
    with np.load(tmp_path / "out.npz") as file:
        assert sorted(file["paths"].tolist()) == sorted(clips)
        assert [path.split("/")[1] for path in file["paths"]] == ["ab"[label] for label in file["labels"]]
        assert file["features"].shape == (10, 48)


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images=True takes image files as videos, and frames=True"):
        VideoFolderDataModule(tmp_path, images=True, frames=True)
    with pytest.raises(ValueError, match="frames_fps=25 is for folders of frames: add frames=True"):
        VideoFolderDataModule(tmp_path, frames_fps=25)
    with pytest.raises(ValueError, match="frames_fps=0 is out of range"):
        VideoFolderDataModule(tmp_path, frames=True, frames_fps=0)
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no folder {tmp_path / 'none'}")):
        set_up(tmp_path / "none")
