"""The files that the authors of I-JEPA and V-JEPA have published, by name."""

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError

import torch

BASE = "https://dl.fbaipublicfiles.com"


class Published(NamedTuple):
    """A published file, and what its tensors do not tell.

    Attributes:
        path: of the file, below the address of the authors.
        family: of the model, see ``architecture.Family``.
        image_size: in pixels.
        num_frames: in a clip; 1 for images.
        license: of the weights.
    """

    path: str
    family: str
    image_size: int
    num_frames: int = 1
    license: str = "MIT"


NC = "CC-BY-NC-4.0"
PUBLISHED = {
    "ijepa_vith14_1k": Published("ijepa/IN1K-vit.h.14-300e.pth.tar", "ijepa", 224, license=NC),
    "ijepa_vith16_1k": Published("ijepa/IN1K-vit.h.16-448px-300e.pth.tar", "ijepa", 448, license=NC),
    "ijepa_vith14_22k": Published("ijepa/IN22K-vit.h.14-900e.pth.tar", "ijepa", 224, license=NC),
    "ijepa_vitg16_22k": Published("ijepa/IN22K-vit.g.16-600e.pth.tar", "ijepa", 224, license=NC),
    "vjepa_vitl16": Published("jepa/vitl16/vitl16.pth.tar", "vjepa", 224, 16, NC),
    "vjepa_vith16": Published("jepa/vith16/vith16.pth.tar", "vjepa", 224, 16, NC),
    "vjepa_vith16_384": Published("jepa/vith16-384/vith16-384.pth.tar", "vjepa", 384, 16, NC),
    "vjepa2_vit_large": Published("vjepa2/vitl.pt", "vjepa2", 256, 64),
    "vjepa2_vit_huge": Published("vjepa2/vith.pt", "vjepa2", 256, 64),
    "vjepa2_vit_giant": Published("vjepa2/vitg.pt", "vjepa2", 256, 64),
    "vjepa2_vit_giant_384": Published("vjepa2/vitg-384.pt", "vjepa2", 384, 64),
    "vjepa2_ac_vit_giant": Published("vjepa2/vjepa2-ac-vitg.pt", "vjepa2_ac", 256, 64),
    "vjepa2_1_vit_base_384": Published("vjepa2/vjepa2_1_vitb_dist_vitG_384.pt", "vjepa2_1", 384, 64),
    "vjepa2_1_vit_large_384": Published("vjepa2/vjepa2_1_vitl_dist_vitG_384.pt", "vjepa2_1", 384, 64),
    "vjepa2_1_vit_giant_384": Published("vjepa2/vjepa2_1_vitg_384.pt", "vjepa2_1", 384, 64),
    "vjepa2_1_vit_gigantic_384": Published("vjepa2/vjepa2_1_vitG_384.pt", "vjepa2_1", 384, 64),
}


def locate(path_or_name: Any) -> tuple[Path, Published | None]:
    """The file of a path or of a published name, which is downloaded into the cache of ``torch.hub`` if need be.

    Args:
        path_or_name: a file or a folder, or one of ``PUBLISHED``.

    Returns:
        Where it is, and what is known of it if it is a published one: by its name, or by that of the file.

    Raises:
        FileNotFoundError: if it is neither.
        ValueError: if it cannot be downloaded, with the way to do it by hand.
    """
    path = Path(path_or_name).expanduser()
    if path.exists():
        return path, next((one for one in PUBLISHED.values() if Path(one.path).name == path.name), None)
    if str(path_or_name) in PUBLISHED:
        return _download(str(path_or_name)), PUBLISHED[str(path_or_name)]
    near = difflib.get_close_matches(str(path_or_name), PUBLISHED, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"published ones are {', '.join(PUBLISHED)}."
    raise FileNotFoundError(f"there is no file {path_or_name}, and no published model of that name: {hint}")


@contextmanager
def reading(path_or_name: Any, path: Path) -> Iterator[None]:
    """Says of a file in the cache that cannot be read what to do: it stays there if its download was cut short.

    A person may have put it there, so it is not removed here.

    Args:
        path_or_name: as of ``locate``.
        path: what that gave.

    Raises:
        ValueError: if the block raises one, and for a file in the cache with its path as what to delete.
    """
    try:
        yield
    except ValueError as error:
        name = str(path_or_name)
        if name not in PUBLISHED or path != _place(name):
            raise
        raise ValueError(
            f"{error} If its download was cut short, delete {path}, and the next call downloads it again."
        ) from error


def _place(name: str) -> Path:
    return Path(torch.hub.get_dir(), "checkpoints", Path(PUBLISHED[name].path).name)  # as the authors' own loader


def _download(name: str) -> Path:
    url, place = f"{BASE}/{PUBLISHED[name].path}", _place(name)
    if place.is_file():
        return place
    try:
        os.makedirs(place.parent, exist_ok=True)
        torch.hub.download_url_to_file(url, str(place), progress=True)  # under another name until it is whole
    except (URLError, OSError) as error:
        said = " ".join(str(error).split())
        raise ValueError(
            f"cannot download {name} ({said}): fetch {url} where there is a network, and give its path or put it at "
            f"{place}."
        ) from error
    return place
