"""Two processes that load files of which many cannot be read."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lightning.data import VideoFolderDataModule
from jepa_lightning.data.shards.plan import plan_shards
from jepa_lightning.data.shards.writer import write_shards

pytest.importorskip("av")

RANKS = """
import json, sys, warnings
from pathlib import Path
import torch
from lightning.pytorch import LightningModule, Trainer
from jepa_lightning import data
from jepa_lightning.masking import RandomTubeMask

warnings.filterwarnings("ignore", "cannot read")

class Noting(LightningModule):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.rows = []

    def step(self, split, batch):
        # fails or waits for ever where the batches of the ranks differ in size
        self.all_gather(torch.stack([view.sum() for view in batch.views[0]]))
        files = getattr(self.trainer.datamodule, f"{split}_set")
        path_of = lambda index: files[index][2] if index >= 0 else None
        self.rows.append([split, self.current_epoch, [
            [path, label, index, path_of(index)]
            for path, label, index in zip(batch.paths, batch.labels.tolist(), batch.indices, strict=True)
        ]])
        return self.weight.square()

    def training_step(self, batch):
        return self.step("train", batch)

    def validation_step(self, batch):
        self.step("val", batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

if __name__ == "__main__":
    kind, root, output = sys.argv[1:]
    torch.manual_seed(0)
    module = Noting()
    pipeline = data.masked_video_pipeline((16, 16), data.ClipSampler(4, fps=5), (RandomTubeMask((2, 4, 4), 0.5),))
    videos = getattr(data, kind)(root, batch_size=2, num_workers=1, max_bad_share=0.6, pipeline=pipeline)
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=4, logger=False, enable_progress_bar=False,
        enable_checkpointing=False, enable_model_summary=False, num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=videos)
    Path(output, f"{trainer.global_rank}.json").write_text(json.dumps(module.rows))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["VideoFolderDataModule", "StreamingVideoDataModule"])
def test_ranks_keep_batches_of_one_size_where_files_cannot_be_read(
    tmp_path: Path, make_video: Callable[..., Path], spoil: Callable[..., Path], kind: str
) -> None:
    root = tmp_path / "videos"
    for split, count in (("train", 12), ("val", 8)):
        for i in range(count):
            make_video(f"videos/{split}/{'ab'[i % 2]}/{i:02}.mp4", length=12)
    empty, damaged = ["train/a/00.mp4", "train/b/03.mp4", "val/a/02.mp4"], ["train/a/04.mp4", "val/b/03.mp4"]
    damaged += ["train/b/07.mp4", "train/a/08.mp4", "val/b/01.mp4", "val/a/00.mp4"]
    for name in empty:
        (root / name).write_bytes(b"")
    for name in damaged:
        spoil(root / name)
    if kind.startswith("Streaming"):
        pytest.importorskip("litdata")
        write_shards(plan_shards(VideoFolderDataModule(root), shard_mb=0.01), tmp_path / "shards")
        root_of_data = tmp_path / "shards"
    else:
        root_of_data = root
    (tmp_path / "run.py").write_text(RANKS)
    command = [sys.executable, tmp_path / "run.py", kind, root_of_data, tmp_path]
    subprocess.run(command, check=True, timeout=300)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert [split for split, _, _ in first] == [split for split, _, _ in second] == (["train"] * 3 + ["val"] * 2) * 4
    assert all(len(rows) == 2 for _, _, rows in first + second)
    unreadable = [sum(index < 0 for _, _, index, _ in rows) for _, _, rows in first + second]
    assert set(unreadable) == {0, 1, 2}  # batches of all three kinds have been there
    for split, _, rows in first + second:
        for path, label, index, path_of_index in rows:
            assert path.startswith(split)
            assert path not in (*empty, *damaged)
            assert (label, path_of_index) == (("ab".index(path.split("/")[1]), path) if index >= 0 else (-1, None))
    good = {str(path.relative_to(root)) for path in root.rglob("*.mp4")} - {*empty, *damaged}
    for epoch in range(4):
        seen = [path for _, at, rows in first + second for path, _, index, _ in rows if at == epoch and index >= 0]
        assert sorted(seen) == sorted(good)
