import re
from typing import Any

from jepa_lightning.cli.evaluating.table import main, markdown, table

ACCURACY = {"accuracy": 0.8125, "interval": [0.5, 0.9], "samples": 16}


def results(**changes: Any) -> dict[str, Any]:
    found = {
        "encoder": "checkpoint", "commit": "abc", "seed": 3, "data_fingerprint": "0123456789abcdef",
        "command": "jepa-lightning evaluate", "linear": {"shape": ACCURACY},
        "baselines": {"random": {"linear": {"shape": {"accuracy": 0.25}}}, "pixels": {}},
    }  # fmt: skip
    return {**found, **changes}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_subject_is_shown_beside_the_baselines() -> None:
    head, protocol, row = table(results(), ["linear"]).splitlines()
    assert head.split() == ["checkpoint", "random", "pixels"]
    assert protocol == "linear"
    assert row.split() == ["shape,", "accuracy", "81.2", "(50.0", "to", "90.0)", "25.0", "-"]


def test_columns_stay_in_line_whatever_the_names() -> None:
    labels = {"shape": ACCURACY, "a label with a very long name of its own": ACCURACY}
    baselines = {"a baseline of a long name": {"linear": labels}}
    found = results(linear=labels, baselines=baselines, encoder="an encoder whose name is long, too")
    lines = table(found, ["linear"]).splitlines()
    ends = [[match.end() for match in re.finditer(r"(too|own name|90\.0\))", line)] for line in lines]
    assert len({len(line) for line in lines if line != "linear"}) == 1
    assert ends[2][0] == ends[3][0] == ends[0][0]


def test_shares_are_in_percent_and_other_metrics_are_not() -> None:
    records = {"far": {"r2": 0.5, "interval": [0.25, 0.75]}, "depth": {"rmse": 0.5, "interval": [0.25, 0.75]}}
    _, _, share, other = table(results(regression=records, baselines={}), ["regression"]).splitlines()
    assert share.split() == ["far,", "r2", "50.0", "(25.0", "to", "75.0)"]
    assert other.split() == ["depth,", "rmse", "0.500", "(0.250", "to", "0.750)"]


def test_only_the_protocols_that_are_asked_for_are_shown() -> None:
    found = results(knn={"shape": {"accuracy": 1.0}})
    assert "linear" not in table(found, ["knn"])
    assert "linear" not in markdown(found, ["knn"])


def test_the_main_metric_is_the_first_number_with_a_fraction() -> None:
    assert main({"layers": "last", "k": 20, "accuracy": 0.5, "validation": 0.75}) == ("accuracy", 0.5)


def test_a_row_of_markdown_says_where_it_is_from() -> None:
    head, rule, row = markdown(results(), ["linear"]).splitlines()
    assert cells(head) == ["encoder", "linear shape, accuracy", "commit", "seed", "data", "command"]
    assert cells(rule) == ["---"] * 6
    assert cells(row) == [
        "checkpoint", "81.2 (50.0 to 90.0)", "abc", "3", "0123456789ab", "`jepa-lightning evaluate`",
    ]  # fmt: skip
    assert cells(markdown(results(commit=""), ["linear"]).splitlines()[2])[2] == "-"


def test_names_with_bars_and_ends_of_lines_stay_in_their_cells() -> None:
    found = results(linear={"a|b\nc": ACCURACY}, command="evaluate --data.root 'x|y\nz'")
    lines = markdown(found, ["linear"]).splitlines()
    assert len(lines) == 3
    assert [len(cells(line)) for line in lines] == [6, 6, 6]
    assert cells(lines[0])[1] == "linear a\\|b c, accuracy"
    assert cells(lines[2])[5] == "`evaluate --data.root 'x\\|y z'`"
