import subprocess
import sys
from pathlib import Path

import pytest
import torch

from jepa_lightning.data import VideoFile
from jepa_lightning.data.procedural.physics import PhysicsVideoDataset
from jepa_lightning.data.procedural.physics_world import DIRECTIONS

pytest.importorskip("av")
SCRIPT = Path(__file__).parents[2] / "examples/write_physics_videos.py"


@pytest.mark.slow
def test_films_lie_in_the_folder_of_their_class_and_show_its_scene(tmp_path):
    sizes = ["--num_train", "6", "--num_val", "3", "--num_frames", "4", "--processes", "1", "--seed", "3"]
    # its processes find what they run by its name, so it must be a program of its own
    subprocess.run([sys.executable, SCRIPT, tmp_path / "films", *sizes], check=True, timeout=120)
    train = sorted((tmp_path / "films/train").glob("*/*.*"), key=lambda path: path.name)
    assert [path.suffix for path in train] == [".mp4", ".avi", ".webm"] * 2
    scenes = PhysicsVideoDataset(6, 4, 64, seed=3, textured=True)
    for path, (frames, labels, _) in zip(train, scenes, strict=True):
        assert path.parent.name == DIRECTIONS[labels["direction"]]
        film = VideoFile(path)
        assert film.num_frames == 4
        shown = film.read(range(4))
        assert (shown.float() - frames.float()).abs().mean() < 6  # of 255: codecs lose something
        assert not torch.equal(shown[0], shown[-1])
    assert len(list((tmp_path / "films/val").glob("*/*.*"))) == 3
