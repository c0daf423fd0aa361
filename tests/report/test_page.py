import copy
import json
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.report import write_report
from jepa_lightning.report.history import History, read_history
from jepa_lightning.report.page import page
from jepa_lightning.report.pictures import find_pictures

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
VOID = {"meta", "link", "img", "input"}


class Reader(HTMLParser):
    """Elements, attributes and text of a page, whose elements must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.said).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(run: Path) -> Reader:
    assert not write_report(run, "history.jsonl", "report.html")
    return Reader((run / "report.html").read_text())


def test_nothing_runs_and_nothing_comes_from_elsewhere(run: Path) -> None:
    found = read(run)
    text = (run / "report.html").read_text()
    assert not {"script", "iframe", "object", "embed", "base", "form", "audio", "video"} & {
        tag for tag, _ in found.elements
    }
    for _, attributes in found.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
                assert (value or "").startswith(("data:", "#"))
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    (policy,) = (each["content"] for each in found.named("meta") if each.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_what_a_person_looks_for_is_there(run: Path) -> None:
    found = read(run)
    for text in (
        "IJEPA on ShapesDataModule", "20 steps in 1.5 min", "finished", "Training added shape.", "It lost color.",
        "35.0 → 52.0 %", "+17.0", "Step 19, collapse: the features become the same", "raw pixels", "linear best",
        "jepa-lightning fit --config configs/quickstart.yaml", "2026-11-28 22:18:00 +0000", "torch 2.5.0",
        "seed_everything: 7", "checkpoints/last.ckpt", "jepa-lightning x", "Rank of the features",
    ):  # fmt: skip
        assert text in found.text or text.replace(" ", "") in found.text.replace(" ", "")


def test_it_can_be_read_by_all(run: Path) -> None:
    found = read(run)
    assert found.named("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in found.named("meta")
    headings = [int(tag[1]) for tag, _ in found.elements if tag in ("h1", "h2", "h3", "h4")]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(headings))
    assert all(image["alt"] and image["width"] and image["height"] for image in found.named("img"))
    assert all(image["role"] == "img" and image["aria-label"] for image in found.named("svg"))
    assert found.named("table")
    assert found.named("caption") == [{}]
    assert all(cell["scope"] in ("row", "col") for cell in found.named("th"))
    style = (run / "report.html").read_text()
    assert "prefers-color-scheme:dark" in style
    assert "@media print" in style
    # each choice has a label, and each link a place
    choices = {each["id"] for each in found.named("input")}
    assert len(choices) == 2
    assert choices == {each["for"] for each in found.named("label")}
    places = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    links = {(each["href"] or "").removeprefix("#") for each in found.named("a")}
    assert links
    assert links <= places


def test_the_last_picture_of_a_name_is_shown_first(run: Path) -> None:
    chosen = [each for each in read(run).named("input") if "checked" in each]
    assert [each["aria-label"] for each in chosen] == ["step 20"]


def evil_records(records: list[dict[str, Any]]) -> Any:
    """The same records with a script in every text and every name of them."""

    def spoiled(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            names = {name: f"{name}{EVIL}" if key in ("values", "rows", "about") else name for name in value}
            return {names[name]: spoiled(item, "rows" if key == "rows" else name) for name, item in value.items()}
        if isinstance(value, list):
            return [spoiled(item) for item in value]
        return f"{value}{EVIL}" if isinstance(value, str) else value

    return [{**spoiled({k: v for k, v in record.items() if k != "kind"}), "kind": record["kind"]} for record in records]


def test_every_text_is_escaped(run: Path, whole: Any, make: Any, png: Any) -> None:
    (run / "history.jsonl").write_text(make.lines(evil_records(copy.deepcopy(whole))))
    (run / "config.yaml").write_text(f"name: {json.dumps(EVIL)}\n")
    name = 'a"><script>alert(1)<'
    (run / f"pictures/step_000020/{name}.png").write_bytes(png())
    found = read(run)
    assert "script" not in {tag for tag, _ in found.elements}
    assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)
    assert found.text.count("<script>alert(1)</script>") > 30
    assert any(f"{name}, at step 20" == image["alt"] for image in found.named("img"))


@pytest.mark.parametrize("reason", [None, "KeyboardInterrupt", "ValueError: no more data"])
def test_a_run_without_an_end_or_with_an_early_one(whole: Any, make: Any, reason: str | None) -> None:
    records = [record for record in whole[:-1] if record["kind"] != "rows"]
    records += [{**make.end(20, reason), "places": [], "next": []}] if reason else []
    history, _ = read_history(make.lines(records))
    text = Reader(page(history, "", [], [])).text
    assert (f"ended early at step 20: {reason}" if reason else "it is under way, or it was killed") in text
    assert "No comparison with random weights" in text
    assert "linear, shape: 42.0 %" in text
    assert "jepa-lightning fit --config configs/quickstart.yaml --ckpt_path last" in text


def test_a_resumed_run_is_resumed_by_the_same_command_once(make: Any) -> None:
    command = "jepa-lightning fit --config a.yaml --ckpt_path last --trainer.max_steps 9"
    history, _ = read_history(make.lines([{**make.start, "step": 5, "command": command}]))
    text = Reader(page(history, "", [], [])).text
    assert "jepa-lightning fit --config a.yaml --trainer.max_steps 9 --ckpt_path last" in text


def test_a_run_that_has_recorded_nothing_has_a_page(make: Any) -> None:
    history, _ = read_history(make.lines([{**make.start, "data": ""}]))
    found = Reader(page(history, "", [], ["x, which y"]))
    assert found.text.startswith("IJEPA: report of a run")
    assert "No probe has measured" in found.text
    assert "1 left out of this page" in found.text
    assert "x, which y." in found.text


def test_sizes_are_bounded(make: Any) -> None:
    many = {f"train/metric_{place}": 0.5 for place in range(500)}
    row = {"random init": 0.1, "trained": 0.5}
    records = [make.start]
    records += [
        {**make.values(step), "values": {"train/loss": 0.5, **(many if step < 4 else {})}} for step in range(9000)
    ]
    records += [{"kind": "rows", "rows": {f"label {place}": row for place in range(500)}}]
    history, broken = read_history(make.lines(records))
    assert not broken
    text = page(history, "", [], [])
    assert len(text) < 500_000
    assert "440 more curves are left out here." in text
    assert "Accuracies of the first 200 of 500 labels" in text


def test_pictures_that_are_left_out_are_counted(run: Path, history: History, png: Any) -> None:
    for step in range(100, 1100, 100):
        (run / f"pictures/step_{step:06d}").mkdir()
        (run / f"pictures/step_{step:06d}/masks.png").write_bytes(png())
    films, faults = find_pictures(run)
    assert not faults
    found = Reader(page(history, "", films, []))
    assert len(found.named("img")) == 8
    assert "4 more are in the run's folder." in found.text
