"""What became of each tensor, in lines that a person reads."""

from jepa_lightning.interop.report import LoadReport


def test_names_with_one_reason_are_one_line() -> None:
    report = LoadReport("a.pt", "encoder", ["a", "b"])
    report.skipped = {"c": "a head", "d": "a pooler", "e": "a head"}
    report.reshaped = {"f": "interpolated"}
    report.notes = ["the first", "the second"]
    assert str(report).splitlines() == [
        "a.pt, encoder: 2 tensors loaded",
        "  skipped: c, e (a head)",
        "  skipped: d (a pooler)",
        "  reshaped: f (interpolated)",
        "  note: the first",
        "  note: the second",
    ]


def test_many_names_are_counted() -> None:
    names = [f"n{number}" for number in range(6)]
    for number, said in ((4, "n0, n1, n2, n3 (why)"), (5, "n0, n1, n2, n3 and 1 more (why)"), (6, "and 2 more (why)")):
        assert str(LoadReport("a", skipped=dict.fromkeys(names[:number], "why"))).endswith(said)


def test_an_empty_report_is_one_line() -> None:
    assert str(LoadReport("a.pt")) == "a.pt: 0 tensors loaded"


def test_reports_share_nothing() -> None:
    first, second = LoadReport("a"), LoadReport("b")
    first.loaded.append("x")
    first.notes.append("x")
    first.skipped["x"] = first.reshaped["x"] = "y"
    assert (second.loaded, second.notes, second.skipped, second.reshaped) == ([], [], {}, {})
