from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from jepa_lightning.data import ImageFolderDataModule
from jepa_lightning.data.shards.plan import plan_shards
from jepa_lightning.data.shards.writer import write_shards

CODECS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"codec": "libx264", "bf": 2, "sc_threshold": 0},
    "open.mkv": {"codec": "libx264", "bf": 2, "x264-params": "open-gop=1"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mp4": {"codec": "libsvtav1"},
    "mpeg4.mp4": {"codec": "mpeg4", "bf": 2},
    "mpeg4.avi": {"codec": "mpeg4"},
    "whole.gif": {"codec": "gif", "pixels": "rgb8"},
}


def film(length: int) -> list[Any]:
    """Frames of 48 x 64 that all differ: three gradients that move, and a square that changes its color."""
    colors = np.random.default_rng(0).integers(0, 256, (length, 3))
    y, x = np.mgrid[:48, :64]
    frames = []
    for i, color in enumerate(colors):
        frame = np.stack([x * 4 - i * 9, y * 5 + i * 7, (x + y) * 2 + i * 8], -1) % 256
        frame[8:24, 2 * i % 48 : 2 * i % 48 + 16] = color
        frames.append(frame.astype(np.uint8))
    return frames


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """40 images in two classes, 30 of them to train on."""
    rng = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "images" / ("train" if i < 30 else "val") / ("cat", "dog")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture
def shard_folder(image_folder: Path, tmp_path: Path) -> Path:
    """The same images in eight shards of four or two to train on, and three to validate on."""
    pytest.importorskip("litdata")
    write_shards(plan_shards(ImageFolderDataModule(image_folder), shard_mb=0.0066), tmp_path / "shards")
    return tmp_path / "shards"


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes a film with a key frame every 8 frames, as ``CODECS`` say by its name; twice need not be the same."""
    av = pytest.importorskip("av")
    av.logging.set_level(av.logging.PANIC)

    def build(
        name: str | Path = "h264.mp4", length: int = 30, times: Sequence[int] | None = None, **options: Any
    ) -> Path:
        """``times`` of the frames in milliseconds, else there are 10 a second."""
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        options = {"g": 8, **CODECS.get(path.name, CODECS["h264.mp4"]), **options}
        codec, pixels = options.pop("codec"), options.pop("pixels", "yuv420p")
        rate = options.pop("rate", 10)
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, options={k: str(v) for k, v in options.items()})
            stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
            if times:
                stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
            for i, image in enumerate(film(length)):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                if times:
                    frame.pts, frame.time_base = times[i], Fraction(1, 1000)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return build


@pytest.fixture
def decode_all() -> Callable[[Path], Tensor]:
    """All frames of a file from its beginning to its end, ``[T, 3, H, W]``."""
    av = pytest.importorskip("av")

    def build(path: Path) -> Tensor:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)

    return build


@pytest.fixture
def spoil() -> Callable[..., Path]:
    """Overwrites bytes of a file with zeros, by default all that the frames of an mp4 are made of."""

    def build(path: Path, start: float | None = None, size: int | None = None) -> Path:
        content = bytearray(path.read_bytes())
        first = content.index(b"mdat") + 4 if start is None else int(start * len(content))
        last = first + (int.from_bytes(content[first - 8 : first - 4], "big") - 8 if size is None else size)
        content[first:last] = bytes(len(content[first:last]))
        path.write_bytes(content)
        return path

    return build


class Counted:
    """A container that counts its uses."""

    def __init__(self, container: Any, counts: dict[str, int]) -> None:
        self.container, self.counts = container, counts
        counts["opened"] += 1

    def __enter__(self) -> "Counted":
        return self

    def __exit__(self, *error: object) -> None:
        self.container.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)

    def demux(self, *streams: Any) -> Any:
        self.counts["indexed"] += 1
        return self.container.demux(*streams)

    def decode(self, *streams: Any) -> Any:
        for frame in self.container.decode(*streams):
            self.counts["decoded"] += 1
            yield frame


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often files are opened or searched for their frames, and how many frames have been decoded."""
    av = pytest.importorskip("av")
    counts, open_file = {"opened": 0, "indexed": 0, "decoded": 0}, av.open
    monkeypatch.setattr(av, "open", lambda *args, **options: Counted(open_file(*args, **options), counts))
    return counts
