import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from jepa_lightning.data import (
    ClipSampler,
    ImageFolderDataModule,
    StreamingImageDataModule,
    StreamingVideoDataModule,
    VideoFolderDataModule,
    masked_image_pipeline,
    masked_video_pipeline,
)
from jepa_lightning.data.shards.plan import plan_shards
from jepa_lightning.data.shards.writer import write_shards
from jepa_lightning.masking import MultiBlockMask, RandomTubeMask
from jepa_lightning.types import Batch

pytest.importorskip("litdata")

Make = Callable[..., Path]
PIPELINE = masked_image_pipeline((16, 16), MultiBlockMask((4, 4), min_keep=1))


def set_up(root: Path | str, **options: Any) -> StreamingImageDataModule:
    torch.manual_seed(0)
    options = {"window": 8, "batch_size": 5, "num_workers": 0, "pipeline": PIPELINE, **options}
    data = StreamingImageDataModule(root, **options)
    data.setup()
    return data


def equal(first: Any, second: Any) -> bool:
    return all(
        a.paths == b.paths
        and torch.equal(a.views[0], b.views[0])
        and torch.equal(a.labels, b.labels)
        and torch.equal(a.masks[0].context, b.masks[0].context)
        for a, b in zip(first, second, strict=True)
    )


def by_path(batches: Any) -> dict[str, tuple[torch.Tensor, int]]:
    return {path: (batch.views[0][i], int(batch.labels[i])) for batch in batches for i, path in enumerate(batch.paths)}


class Noting(LightningModule):
    """Trains nothing, and notes what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[Batch] = []

    def training_step(self, batch: Batch) -> torch.Tensor:
        self.seen.append(batch)
        return self.weight.square()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def run(folder: Path, data: StreamingImageDataModule, ckpt_path: Any = None, **options: Any) -> list[Batch]:
    noting = Noting()
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, **options}
    trainer = Trainer(default_root_dir=folder, enable_model_summary=False, limit_val_batches=0, **options)
    trainer.fit(noting, datamodule=data, ckpt_path=ckpt_path)
    return noting.seen


def test_samples_are_those_of_the_folder(image_folder: Path, shard_folder: Path) -> None:
    folder = ImageFolderDataModule(image_folder, batch_size=5, num_workers=0, pipeline=PIPELINE)
    folder.setup()
    data = set_up(shard_folder)
    assert (data.class_names, data.num_classes, data.num_samples) == (("cat", "dog"), 2, 30)
    for loader in ("memory_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader"):
        here, there = (by_path(getattr(source, loader)()) for source in (data, folder))
        assert here.keys() == there.keys()
        assert all(torch.equal(here[path][0], there[path][0]) and here[path][1] == there[path][1] for path in there)
    assert [len(batch.paths) for batch in data.train_dataloader()] == [5] * 6
    assert by_path(data.train_dataloader()).keys() == by_path(folder.train_dataloader()).keys()


@pytest.mark.parametrize("store", [False, True])
def test_workers_and_where_shards_lie_change_nothing(shard_folder: Path, tmp_path: Path, store: bool) -> None:
    root = f"local:{shard_folder}" if store else shard_folder
    alone, workers = set_up(shard_folder), set_up(root, num_workers=2, cache_dir=str(tmp_path / "cache"))
    for loader in ("train_dataloader", "val_dataloader"):
        assert equal(getattr(alone, loader)(), getattr(workers, loader)())


@pytest.mark.filterwarnings("ignore:.*no `validation_step`", "ignore:Be aware that when using `ckpt_path`")
def test_a_resumed_run_sees_what_an_undisturbed_one_sees(shard_folder: Path, tmp_path: Path) -> None:
    whole = run(tmp_path, set_up(shard_folder), max_steps=14, enable_checkpointing=False)
    checkpoints = ModelCheckpoint(tmp_path / "ckpt", save_last=True, every_n_train_steps=9)
    first = run(tmp_path, set_up(shard_folder), max_steps=9, callbacks=[checkpoints])
    torch.manual_seed(99)  # another seed must not matter
    resumed, last = set_up(shard_folder, num_workers=2), tmp_path / "ckpt/last.ckpt"
    second = run(tmp_path, resumed, last, max_steps=14, enable_checkpointing=False)
    assert len(second) == 5
    assert equal([*first, *second], whole)
    epoch = [path for batch in whole[6:12] for path in batch.paths]
    assert len(epoch) == len(set(epoch)) == 30


@pytest.mark.filterwarnings("ignore:cannot read")
def test_images_that_cannot_be_read_are_named_counted_and_left_out(image_folder: Path, tmp_path: Path) -> None:
    (image_folder / "val/cat/32.png").write_bytes(b"no image")
    write_shards(plan_shards(ImageFolderDataModule(image_folder)), tmp_path / "shards")
    data = set_up(tmp_path / "shards", max_bad_share=0.2)
    with pytest.warns(UserWarning, match=r"cannot read val/cat/32.png in .*shards/val/chunk-0-0.bin, left out: "):
        assert len(by_path(data.val_dataloader())) == 9
    address = f"local:{tmp_path}/shards"
    with pytest.raises(RuntimeError, match=rf"1 of 10 images in {address}/val cannot be read, more than max_bad_share"):
        list(set_up(address, cache_dir=str(tmp_path / "cache")).val_dataloader())


def test_shards_of_another_kind_are_refused(shard_folder: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{shard_folder} holds images, and StreamingVideoDataModule reads")):
        StreamingVideoDataModule(shard_folder).setup()


@pytest.mark.filterwarnings("ignore:cannot read")
def test_clips_are_those_of_the_files(tmp_path: Path, make_video: Make, spoil: Make) -> None:
    for i in range(6):
        make_video(f"train/{'ab'[i % 2]}/{i}.{('mp4', 'mkv')[i % 2]}")
    Image.new("RGB", (40, 30), "red").save(tmp_path / "train/a/still.PNG")
    make_video("val/a/6.mp4")
    spoil(make_video("val/a/7.mp4"))
    pipeline = masked_video_pipeline((16, 16), ClipSampler(4, fps=5), (RandomTubeMask((2, 4, 4), 0.5),))
    options: Any = {"num_workers": 0, "batch_size": 2, "pipeline": pipeline, "max_bad_share": 0.5}
    folder = VideoFolderDataModule(tmp_path, images=True, **options)
    write_shards(plan_shards(folder), tmp_path / "shards")
    data = StreamingVideoDataModule(tmp_path / "shards", **options)
    data.setup()
    for loader in ("memory_dataloader", "val_dataloader"):
        here, there = (by_path(getattr(source, loader)()) for source in (data, folder))
        assert here.keys() == there.keys()
        assert all(torch.equal(here[path][0], there[path][0]) for path in there)
    assert data.val_set.bad.sum() == 1  # type: ignore[attr-defined]
    assert next(iter(data.train_dataloader())).views[0].shape == (2, 3, 4, 16, 16)


RANKS = """
import sys
from pathlib import Path
import torch
from tests_streaming import Noting, set_up
from lightning.pytorch import Trainer

module = Noting()
data = set_up(sys.argv[1], num_workers=2, batch_size=3)
trainer = Trainer(
    accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False, enable_progress_bar=False,
    enable_checkpointing=False, enable_model_summary=False, limit_val_batches=0,
)
trainer.fit(module, datamodule=data)
seen = [path for batch in module.seen for path in batch.paths]
Path(sys.argv[2], f"{trainer.global_rank}.txt").write_text("\\n".join(seen))
"""


@pytest.mark.slow
def test_two_processes_have_each_sample_once_an_epoch(shard_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(RANKS)
    (tmp_path / "tests_streaming.py").write_text(Path(__file__).read_text())
    subprocess.run([sys.executable, tmp_path / "run.py", shard_folder, tmp_path], check=True, timeout=300)
    first, second = ((tmp_path / f"{rank}.txt").read_text().split() for rank in range(2))
    assert len(first) == len(second) == 30
    for epoch in (slice(0, 15), slice(15, 30)):
        assert len({*first[epoch], *second[epoch]}) == 30


def test_class_names_that_are_numbers_keep_the_order_of_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(12):
        for k in range(2):
            path = tmp_path / f"images/{i}/{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20), (20 * i, 0, 0)).save(path)
    write_shards(plan_shards(ImageFolderDataModule(tmp_path / "images")), tmp_path / "shards")
    monkeypatch.setenv("HOME", str(tmp_path))
    data = set_up("~/shards")
    assert data.class_names == tuple(map(str, range(12)))
    samples = by_path(data.predict_dataloader())
    assert {path: label for path, (_, label) in samples.items()} == {
        f"{i}/{k}.png": i for i in range(12) for k in (0, 1)
    }
    there = by_path(set_up(f"local:{tmp_path}/shards", cache_dir="~/cache").predict_dataloader())
    assert there.keys() == samples.keys()
    assert (tmp_path / "cache").is_dir()
