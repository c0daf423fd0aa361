"""Studies continue from their own rows, and replace nothing else."""

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def kept_rows(example) -> ModuleType:
    return example("kept_rows.py")


def test_rows_of_a_run_come_back(kept_rows: ModuleType) -> None:
    path = Path("deep/out.csv")
    kept = kept_rows.KeptRows(path, "one", {"steps": 5}, beside=(".md",))
    kept.add("a", 0, [{"loss": 0.5}, {"loss": 0.25, "rank": 3}])
    path.with_suffix(".md").write_text("table")  # its own from now on
    again = kept_rows.KeptRows(path, "one", {"steps": 5}, beside=(".md",))
    assert again.has("a", 0)
    assert not again.has("a", 1)
    assert [[row["loss"] for row in rows] for rows in again.of("a")] == [["0.5", "0.25"]]
    assert [file.name for file in sorted(path.parent.iterdir())] == ["out.csv", "out.md"]


@pytest.mark.parametrize("suffix", [".md", ".png"])
def test_files_beside_no_rows_are_not_replaced(kept_rows: ModuleType, suffix: str) -> None:
    path = Path("out").with_suffix(suffix)
    path.write_text("mine")
    with pytest.raises(SystemExit, match=rf"^out\{suffix} exists, and it is left as it is: give another --out"):
        kept_rows.KeptRows(Path("out.csv"), "one", {}, beside=(".md", ".png"))
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no file of this study: it has no column 'run'"),
        (b"name,price\ntea,3\n", "no file of this study: it has no column 'run'"),
        (b"run,seed\na,0\n", "no file of this study: it has no column 'steps'"),
        (b"study,run,seed,steps\nother,a,0,5\n", "holds runs with {'study': 'other'}, and this study has {'study'"),
        (b"run,seed,steps\na,0,4\n", "holds runs with {'steps': '4'}"),
        (b"run,seed,steps,loss\na,0,5\n", "is damaged: row 1 has more or fewer cells"),
        (b"run,seed,steps\na,0,5,6\n", "is damaged: row 1 has more or fewer cells"),
        (b"\xff\xfe\x00", "cannot read out.csv: .*Give another --out"),
        (b'run,seed,steps\n"a"b,0,5\n', "cannot read out.csv: .*Give another --out"),
    ],
)
def test_a_file_that_is_none_of_this_study_is_left_as_it_is(kept_rows: ModuleType, content: bytes, said: str) -> None:
    Path("out.csv").write_bytes(content)
    with pytest.raises(SystemExit, match=said):
        kept_rows.KeptRows(Path("out.csv"), "one", {"steps": 5})
    assert Path("out.csv").read_bytes() == content


def test_rows_without_the_name_of_a_study_are_taken(kept_rows: ModuleType) -> None:
    Path("out.csv").write_text("run,seed,steps\na,0,5\n")
    kept = kept_rows.KeptRows(Path("out.csv"), "one", {"steps": 5})
    kept.add("a", 1, [{}])
    assert Path("out.csv").read_text() == "run,seed,steps,study\na,0,5,one\na,1,5,one\n"
    assert kept_rows.KeptRows(Path("out.csv"), "one", {"steps": 5}).has("a", 1)
