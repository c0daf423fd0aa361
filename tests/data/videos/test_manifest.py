import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.data import ClipSampler, VideoManifestDataModule, masked_video_pipeline
from jepa_lightning.data.videos.manifest import VideoPart, read_manifest
from jepa_lightning.masking import RandomTubeMask

Make = Callable[..., Path]
CSV = """path,label,start,end
a.mp4,cat,,
"b, c/d ""e"".mp4",dog,1.5,
weiß/映画.mp4,,0,2
"""
PARTS = [
    VideoPart("a.mp4", "cat", 0.0, None),
    VideoPart('b, c/d "e".mp4', "dog", 1.5, None),
    VideoPart("weiß/映画.mp4", None, 0.0, 2.0),
]


def listed(folder: Path, content: str, name: str = "list.csv", encoding: str = "utf-8") -> Path:
    (folder / name).write_bytes(content.encode(encoding))
    return folder / name


def set_up(*args: Any, **options: Any) -> VideoManifestDataModule:
    pipeline = masked_video_pipeline((16, 16), ClipSampler(4), (RandomTubeMask((2, 4, 4), 0.5),))
    data = VideoManifestDataModule(*args, **{"num_workers": 0, "batch_size": 2, "pipeline": pipeline, **options})
    data.setup()
    return data


def paths(data: VideoManifestDataModule, split: str) -> list[str]:
    part = getattr(data, f"{split}_set")
    return [part.dataset.files[i].path for i in part.indices]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_has_quotes_marks_and_gaps(tmp_path: Path, encoding: str, newline: str) -> None:
    assert list(read_manifest(listed(tmp_path, CSV.replace("\n", newline), encoding=encoding))) == PARTS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_jsonl_says_the_same(tmp_path: Path, encoding: str, ascii_only: bool) -> None:
    rows: list[dict[str, Any]] = [
        {"path": "a.mp4", "label": "cat", "start": None, "end": None},
        {"path": 'b, c/d "e".mp4', "label": "dog", "start": 1.5},
        {"end": 2, "path": "weiß/映画.mp4", "label": ""},
    ]
    content = "\n\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    assert list(read_manifest(listed(tmp_path, content, "list.jsonl", encoding))) == PARTS


def test_columns_but_the_path_may_be_missing_and_come_in_any_order(tmp_path: Path) -> None:
    only = [VideoPart("a.mp4", None), VideoPart("b.mp4", None)]
    assert list(read_manifest(listed(tmp_path, "path\na.mp4\nb.mp4"))) == only
    assert list(read_manifest(listed(tmp_path, "path,label\na.mp4\nb.mp4,"))) == only
    turned = listed(tmp_path, "end,width,path\n3,64,a.mp4\n,64,b.mp4\n")
    with pytest.warns(UserWarning, match="'width' will not be read; the columns are path, label, start, end"):
        parts = list(read_manifest(turned))
    assert parts == [VideoPart("a.mp4", None, 0.0, 3.0), VideoPart("b.mp4", None)]
    numbered = listed(tmp_path, '{"path": "a.mp4", "label": 0}\n{"path": "b.mp4", "label": 7}\n', "list.jsonl")
    assert [part.label for part in read_manifest(numbered)] == ["0", "7"]


@pytest.mark.parametrize(
    ("name", "content", "line", "got"),
    [
        ("list.csv", "path,start\na.mp4,1\nb.mp4,soon\n", 3, "{'path': 'b.mp4', 'start': 'soon'}"),
        ("list.csv", "path,end\na.mp4,1:30\n", 2, "{'path': 'a.mp4', 'end': '1:30'}"),
        ("list.csv", "path,label\na.mp4,cat\nb.mp4,cat\n,cat\n", 4, "{'path': '', 'label': 'cat'}"),
        ("list.csv", "file,label\na.mp4,cat\n", 2, "{'file': 'a.mp4', 'label': 'cat'}"),
        ("list.csv", "a.mp4\nb.mp4\n", 2, "{'a.mp4': 'b.mp4'}"),
        ("list.jsonl", '{"path": "a.mp4"}\n\n{"label": "b"}\n', 3, "{'label': 'b'}"),
        ("list.jsonl", '{"path": 3}\n', 1, "{'path': 3}"),
        ("list.jsonl", '{"path": "a.mp4", "start": [1]}\n', 1, "{'path': 'a.mp4', 'start': [1]}"),
    ],
)
def test_lines_of_another_form_are_named(tmp_path: Path, name: str, content: str, line: int, got: str) -> None:
    path = listed(tmp_path, content, name)
    message = f"{path}, line {line}: expected path, label, start, end, the last two in seconds and at least a path; "
    with pytest.raises(ValueError, match=re.escape(f"{message}got {got}.")):
        list(read_manifest(path))


def test_lines_that_are_no_json_are_named(tmp_path: Path) -> None:
    path = listed(tmp_path, '{"path": "a.mp4"}\npath,label\n', "list.jsonl")
    with pytest.raises(ValueError, match=re.escape(f"{path}, line 2: no JSON (")):
        set_up(path)


@pytest.mark.parametrize(("name", "content"), [("a.csv", ""), ("a.csv", "path,label\n"), ("a.jsonl", "\n")])
def test_empty_and_missing_lists_are_named(tmp_path: Path, name: str, content: str) -> None:
    path = listed(tmp_path, content, name)
    with pytest.raises(ValueError, match=re.escape(f"{path} names no videos: ")):
        set_up(path)
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no list {tmp_path / 'none.csv'}.")):
        set_up(listed(tmp_path, CSV), tmp_path / "none.csv")


def test_one_list_is_split_by_class_and_two_are_not(tmp_path: Path) -> None:
    rows = [f"{i}.mp4,{'ab'[i % 2]}" for i in range(20)]
    train = listed(tmp_path, "\n".join(["path,label", *rows]))
    data = set_up(train, val_fraction=0.2)
    assert sorted(paths(data, "train") + paths(data, "val")) == sorted(f"{i}.mp4" for i in range(20))
    assert sorted(int(path[:-4]) % 2 for path in paths(data, "val")) == [0, 0, 1, 1]
    assert data.class_names == ("a", "b")
    data = set_up(train, listed(tmp_path, "path,label\nx.mp4,b\n", "val.csv"))
    assert (data.num_samples, paths(data, "val")) == (20, ["x.mp4"])
    with pytest.raises(ValueError, match=r"x.mp4 is for validation, and of the class 'c', which training lacks"):
        set_up(train, listed(tmp_path, "path,label\nx.mp4,c\n", "val.csv"))


@pytest.mark.parametrize("where", ["the list's folder", "a root", "absolute"])
def test_paths_start_from_the_root_and_parts_are_those_of_the_list(
    tmp_path: Path, make_video: Make, decode_all: Callable[..., Any], where: str
) -> None:
    video = make_video("films/a, b.mp4")
    frames = decode_all(video)
    name = {"the list's folder": "films/a, b.mp4", "a root": "a, b.mp4", "absolute": str(video)}[where]
    path = listed(tmp_path, f'path,label,start,end\n"{name}",x,0.5,1.2\n"{name}",y,1.2,\nnone.mp4,y,,\n')
    data = set_up(path, path, root=tmp_path / "films" if where == "a root" else None, max_bad_share=0.4)
    for (first, last), (part, label, shown) in zip([(5, 12), (12, 30)], data.val_set, strict=False):
        assert (part.num_frames, shown, label) == (last - first, name, first // 12)
        assert torch.equal(part.read(range(last - first)), frames[first:last])
    with pytest.warns(UserWarning, match=r"cannot read .*none.mp4, left out: No such file or directory"):
        batches = list(set_up(path, path, root=data.root, max_bad_share=0.4, batch_size=3).val_dataloader())
    assert [batch.labels.tolist() for batch in batches] == [[0, 1]]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("one.jsonl", "[1]\n", 1),
        ("comma.csv", "path,label\na,b.mp4,cat\n", 2),
        ("blank.csv", "path\n\na.mp4\n\n,\n", 5),
        ("back.csv", "path,start,end\na.mp4,3,2\n", 2),
        ("negative.csv", "path,start\na.mp4,-1\n", 2),
        ("nan.csv", "path,start\na.mp4,nan\n", 2),
    ],
)
def test_lines_that_make_no_sense_are_named(tmp_path: Path, name: str, text: str, line: int) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}, line {line}: expected path"):
        list(read_manifest(tmp_path / name))


def test_a_list_of_one_line_and_one_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "one.JSONL").write_text('{"path": "a.mp4"}')
    assert list(read_manifest(tmp_path / "one.JSONL")) == [("a.mp4", None, 0.0, None)]
    (tmp_path / "latin.csv").write_bytes("path\ncaf\u00e9.mp4\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.csv is not in UTF-8"):
        list(read_manifest(tmp_path / "latin.csv"))


@pytest.mark.parametrize("header", ["path, label", "Path,LABEL", " path ,label\t"])
def test_columns_have_any_case_and_blanks_around_them(tmp_path: Path, header: str) -> None:
    assert list(read_manifest(listed(tmp_path, f"{header}\na.mp4,cat\n"))) == [VideoPart("a.mp4", "cat")]


def test_columns_that_are_nearly_right_are_named(tmp_path: Path) -> None:
    for name, content in (("list.csv", "path,lable\na.mp4,cat\n"), ("list.jsonl", '{"path": "a.mp4", "lable": "b"}')):
        with pytest.warns(UserWarning, match="'lable' will not be read"):
            list(read_manifest(listed(tmp_path, content, name)))
    with pytest.raises(ValueError, match="columns are divided by ';'"):
        list(read_manifest(listed(tmp_path, "path;label\na.mp4;cat\n")))
    with pytest.raises(ValueError, match="the column 'label' twice"):
        list(read_manifest(listed(tmp_path, "path,label,Label\na.mp4,cat,dog\n")))


def test_numbers_as_labels_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    rows = [f"{i}-{k}.mp4,{i}" for i in range(12) for k in range(2)]
    data = set_up(listed(tmp_path, "\n".join(["path,label", *rows])))
    assert data.class_names == tuple(map(str, range(12)))
    files = data.train_set.dataset  # type: ignore[attr-defined]
    assert [files.classes[str(i)] for i in range(12)] == list(range(12))


def test_the_home_folder_may_be_written_short(
    tmp_path: Path, make_video: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make_video("films/a.mp4")
    listed(tmp_path, "path,label\na.mp4,train\na.mp4,val\n")
    data = set_up("~/list.csv", "~/list.csv", root="~/films")
    assert data.class_names == ("train", "val")
    assert [data.val_set[i][0].num_frames for i in range(2)] == [30, 30]
