import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from jepa_lightning.data import ClipSampler, VideoFolderDataModule, masked_video_pipeline
from jepa_lightning.masking import RandomTubeMask

pytest.importorskip("av")


def used() -> tuple[int, float]:
    """Open files, and the memory in use in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's account of a process")
@pytest.mark.filterwarnings("ignore:cannot read")
def test_thousands_of_clips_leave_no_open_files_and_no_memory_behind(
    tmp_path: Path, make_video: Callable[..., Path], spoil: Callable[..., Path]
) -> None:
    for name in ("h264.mp4", "vp9.webm", "av1.mp4", "mpeg4.avi", "whole.gif"):
        make_video(f"train/a/{name}")
        make_video(f"val/a/{name}")
    spoil(make_video("val/a/damaged.mp4"))
    make_video("val/a/empty.mp4").write_bytes(b"")
    torch.manual_seed(0)
    pipeline = masked_video_pipeline((16, 16), ClipSampler(4, fps=5), (RandomTubeMask((2, 4, 4), 0.5),))
    data = VideoFolderDataModule(tmp_path, batch_size=5, num_workers=0, max_bad_share=0.2, pipeline=pipeline)
    data.setup()
    bad = data.val_set.dataset.bad  # type: ignore[attr-defined]

    def watch(rounds: int) -> None:
        for _ in range(rounds):
            bad.zero_()  # so that the damaged ones are opened each time
            assert [len(batch.paths) for batch in (*data.train_dataloader(), *data.val_dataloader())] == [5, 3, 2]

    watch(30)
    before = used()
    watch(200)  # of 10 clips each, 12 kB after 37 kB of frames
    after = used()
    assert after[0] == before[0]
    assert after[1] - before[1] < 10, (before, after)  # not even half a clip each
