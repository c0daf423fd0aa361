"""Pictures that a run has left in ``pictures/step_NNNNNN/NAME.png``, as far as they fit into a page."""

import os
import re
import struct
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from jepa_lightning.report.files import MB, read_regular

FOLDER = "pictures"
STEP, NAME = re.compile(r"step_(\d{1,12})"), re.compile(r"(.{1,100})\.png")
SHOWN = 8  # steps of a name
NAMES = 24
LARGEST, IN_ALL = 4 * MB, 16 * MB  # bytes of files
ENTRIES = 20_000  # of a folder
SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A picture of a step.

    Attributes:
        step: of the run.
        content: the file.
        width: in pixels.
        height: in pixels.
    """

    step: int
    content: bytes
    width: int
    height: int

    @property
    def address(self) -> str:
        """The picture itself, as an address."""
        return "data:image/png;base64," + b64encode(self.content).decode()


@dataclass
class Film:
    """Pictures of one name, in the order of steps.

    Attributes:
        name: of the files.
        pictures: that are shown.
        left_out: how many are not, since they are too many or too large.
    """

    name: str
    pictures: list[Picture] = field(default_factory=list)
    left_out: int = 0


def find_pictures(folder: Path) -> tuple[list[Film], list[str]]:
    """Finds the pictures of a run: the last step of each name first of all, then earlier ones while they fit.

    Args:
        folder: of the run.

    Returns:
        Pictures by name, and files that are no pictures or cannot be read, with the reason.
    """
    steps, faults = _steps(folder)
    films, left = {name: Film(name) for name in list(steps)[:NAMES]}, IN_ALL
    if len(steps) > NAMES:
        faults.append(f"{len(steps) - NAMES} names of pictures beyond the first {NAMES}")
    chosen = {name: _spread(sorted(steps[name], reverse=True), SHOWN) for name in films}
    for place in range(SHOWN):
        for name, film in films.items():
            if place >= len(chosen[name]):
                continue
            step = chosen[name][place]
            path = f"{FOLDER}/{steps[name][step]}/{name}.png"
            try:
                picture = _read(folder, path, step)
            except (OSError, ValueError) as error:
                said = (error.strerror or "") if isinstance(error, OSError) else str(error)
                faults.append(f"{path}, which {said if isinstance(error, ValueError) else f'cannot be read ({said})'}")
                continue
            if len(picture.content) <= left:
                left -= len(picture.content)
                film.pictures.append(picture)
    for name, film in films.items():
        film.pictures.sort(key=lambda picture: picture.step)
        film.left_out = len(steps[name]) - len(film.pictures)
    return [film for film in films.values() if film.pictures], faults


def _steps(folder: Path) -> tuple[dict[str, dict[int, str]], list[str]]:
    """The folder of each step, by name and by step."""
    found: dict[str, dict[int, str]] = {}
    faults: list[str] = []
    for step in _entries(folder / FOLDER, FOLDER, faults):
        if number := STEP.fullmatch(step.name):
            for file in _entries(Path(step.path), f"{FOLDER}/{step.name}", faults):
                if name := NAME.fullmatch(file.name):
                    found.setdefault(name[1], {})[int(number[1])] = step.name
    return dict(sorted(found.items())), faults


def _entries(path: Path, name: str, faults: list[str]) -> list["os.DirEntry[str]"]:
    if path.is_symlink():
        faults.append(f"{name}, which is a link")
        return []
    try:
        with os.scandir(path) as entries:
            return sorted(
                (entry for entry, _ in zip(entries, range(ENTRIES), strict=False)), key=lambda each: each.name
            )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        faults.append(f"{name}, which cannot be read ({error.strerror})")
        return []


def _spread(steps: list[int], number: int) -> list[int]:
    """As many steps as asked for, first and last among them; those in between are even."""
    if len(steps) <= number:
        return steps
    return [steps[round(place * (len(steps) - 1) / (number - 1))] for place in range(number)]


def _read(folder: Path, name: str, step: int) -> Picture:
    content = read_regular(folder, name, LARGEST)
    if content[:8] != SIGNATURE or content[12:16] != b"IHDR" or len(content) < 33:
        raise ValueError("is no PNG")
    if b"IEND" not in content[-12:]:
        raise ValueError("is a PNG that was cut")
    width, height = struct.unpack(">II", content[16:24])
    if not 0 < width * height <= 50 * MB:
        raise ValueError(f"is a PNG of {width} x {height} pixels")
    return Picture(step, content, width, height)
