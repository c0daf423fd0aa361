"""Examples replace no files."""

from pathlib import Path

import pytest

WRITES = {
    "compare_methods.py": ["table.md", "table.png", "table.csv"],
    "collapse_study.py": ["table.md", "table.png", "table.csv"],
    "sweep_small.py": ["table.md", "table.csv"],
    "initialization_study.py": ["table.csv"],
    "intuitive_physics.py": ["table.md", "table.png"],
    "energy_landscapes.py": ["table.png", "table.csv"],
    "energy_auroc.py": ["table"],
    "plan_two_rooms.py": ["table"],
    "linear_jepa.py": ["table"],
    "draw_ijepa.py RUN": ["table"],
    "benchmarks/gpu_check.py --tiny": ["table.json", "table.md"],
    "benchmarks/step_time.py --scaling": ["table.csv", "table.png"],
}


def refused(example, capsys, command: str, name: str, out: str) -> None:
    """An example that would write a file ends before the work, and leaves the file as it is."""
    if command.startswith("plan_two_rooms"):
        pytest.importorskip("gymnasium")
    Path(name).write_text("mine")
    script, *words = command.split()
    with pytest.raises(SystemExit) as ended:
        example(script).main([*words, "--out", out])
    # parsers print, and SystemExit holds what is printed otherwise
    said = f"{ended.value} {capsys.readouterr().err}"
    assert f"{name} exists, and it is left as it is" in said or f"{name} is no file of this study" in said
    assert [path.name for path in Path().iterdir()] == [name]
    assert Path(name).read_text() == "mine"


@pytest.mark.parametrize(("command", "name"), [(command, name) for command, names in WRITES.items() for name in names])
def test_a_file_of_another_origin_is_refused_before_the_work(example, capsys, command: str, name: str) -> None:
    refused(example, capsys, command, name, "table")


@pytest.mark.parametrize(
    ("command", "suffix"),
    [(command, suffix) for command, names in WRITES.items() for name in names if (suffix := Path(name).suffix)],
)
def test_a_name_with_a_point_is_whole_in_the_names_of_files(example, capsys, command: str, suffix: str) -> None:
    refused(example, capsys, command, f"name.v2{suffix}", "name.v2")


@pytest.mark.parametrize("out", ["deep/name.v2", "deep/name.v2.csv", "deep/name.v2.png"])
def test_files_of_one_name_lie_beside_each_other(example, out: str) -> None:
    path_of = example("new_files.py").path_of
    assert [path_of(Path(out), suffix) for suffix in (".csv", ".md", ".png", ".json")] == [
        Path("deep", f"name.v2{suffix}") for suffix in (".csv", ".md", ".png", ".json")
    ]
    assert path_of(Path("table"), ".csv") == Path("table.csv")


@pytest.mark.parametrize("name", ["trained.ckpt", "features.npz"])
def test_a_folder_of_another_run_is_refused(example, folder: Path, name: str) -> None:
    Path("out").mkdir()
    Path("out", name).write_text("mine")
    with pytest.raises(SystemExit, match=rf"{name} exists, and it is left as it is: give another --output"):
        example("train_on_your_images.py").main([str(folder), "--output", "out"])
    assert [path.name for path in Path("out").iterdir()] == [name]


def test_films_are_written_to_a_new_folder(example, capsys) -> None:
    pytest.importorskip("av")
    Path("films").mkdir()
    Path("films", "mine").touch()
    with pytest.raises(SystemExit):
        example("write_physics_videos.py").main(["films"])
    assert "films is not empty: give a new folder" in capsys.readouterr().err
    assert [path.name for path in Path("films").iterdir()] == ["mine"]
