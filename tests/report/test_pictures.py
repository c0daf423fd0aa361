import os
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.report import pictures
from jepa_lightning.report.pictures import find_pictures


def put(run: Path, step: int, name: str, content: bytes) -> Path:
    path = run / f"pictures/step_{step:06d}/{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_finds_pictures_by_name_in_the_order_of_steps(tmp_path: Path, png: Any) -> None:
    for step in (1000, 50, 200):
        put(tmp_path, step, "masks", png(5, 4))
    put(tmp_path, 50, "b", png())
    (tmp_path / "pictures/notes.txt").touch()
    (tmp_path / "pictures/step_000050/x.txt").touch()
    (first, second), faults = find_pictures(tmp_path)
    assert not faults
    assert (first.name, [picture.step for picture in first.pictures]) == ("b", [50])
    assert [picture.step for picture in second.pictures] == [50, 200, 1000]
    assert (second.pictures[0].width, second.pictures[0].height, second.left_out) == (5, 4, 0)
    assert second.pictures[0].address.startswith("data:image/png;base64,iVBORw0KGgo")


def test_a_run_without_pictures_has_none(tmp_path: Path) -> None:
    assert find_pictures(tmp_path) == ([], [])


def test_of_many_steps_first_and_last_and_some_between_are_shown(tmp_path: Path, png: Any) -> None:
    for step in range(0, 300, 10):
        put(tmp_path, step, "masks", png())
    ((film,), faults) = find_pictures(tmp_path)
    steps = [picture.step for picture in film.pictures]
    assert (len(steps), steps[0], steps[-1], film.left_out) == (8, 0, 290, 22)
    assert not faults


def test_the_last_step_of_each_name_comes_first_when_they_are_large(tmp_path: Path, png: Any, monkeypatch: Any) -> None:
    for step in (10, 20):
        for name in ("a", "b"):
            put(tmp_path, step, name, png(padding=5000))
    monkeypatch.setattr(pictures, "IN_ALL", 12_000)
    films, _ = find_pictures(tmp_path)
    assert [(film.name, [each.step for each in film.pictures], film.left_out) for film in films] == [
        ("a", [20], 1), ("b", [20], 1)
    ]  # fmt: skip
    monkeypatch.setattr(pictures, "NAMES", 1)
    films, faults = find_pictures(tmp_path)
    assert [film.name for film in films] == ["a"]
    assert faults == ["1 names of pictures beyond the first 1"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"GIF89a", "is no PNG"),
        (b"", "is no PNG"),
        (b"<script>alert(1)</script>" + bytes(40), "is no PNG"),
        ("cut", "is a PNG that was cut"),
        ("large", "has 4.0 MB, and 4 are read"),
        ("wide", "is a PNG of 100000 x 100000 pixels"),
    ],
)
def test_what_is_no_picture_is_named_and_left_out(tmp_path: Path, png: Any, content: Any, said: str) -> None:
    made = {"cut": png(padding=100)[:-20], "large": png(padding=4_000_000)}
    wide = png()
    made["wide"] = wide[:16] + (100_000).to_bytes(4, "big") * 2 + wide[24:]
    put(tmp_path, 1, "bad", made.get(content, content))
    put(tmp_path, 0, "bad", wide)
    ((film,), faults) = find_pictures(tmp_path)
    assert [picture.step for picture in film.pictures] == [0]
    assert faults == [f"pictures/step_000001/bad.png, which {said}"]


def test_links_and_pipes_are_left_out(tmp_path: Path, png: Any) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    secret = put(other, 5, "secret", png())
    put(run, 1, "good", png())
    (run / "pictures/step_000002").symlink_to(secret.parent)
    (run / "pictures/step_000001/link.png").symlink_to(secret)
    os.mkfifo(run / "pictures/step_000001/pipe.png")
    (run / "pictures/step_000001/folder.png").mkdir()
    films, faults = find_pictures(run)
    assert [film.name for film in films] == ["good"]
    assert sorted(faults) == [
        "pictures/step_000001/folder.png, which is no regular file",
        "pictures/step_000001/link.png, which is a link",
        "pictures/step_000001/pipe.png, which is no regular file",
        "pictures/step_000002, which is a link",
    ]
    (run / "pictures").rename(tmp_path / "moved")
    (run / "pictures").symlink_to(tmp_path / "moved")
    assert find_pictures(run) == ([], ["pictures, which is a link"])
