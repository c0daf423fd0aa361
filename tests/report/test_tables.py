import xml.etree.ElementTree as ET

from jepa_lightning.report.history import History
from jepa_lightning.report.markup import Markup
from jepa_lightning.report.tables import ROWS, accuracies, facts, table


def cells(found: Markup) -> tuple[str, list[list[str]]]:
    """The caption and the texts of all rows, the head first, of a table that is read as XML."""
    root = ET.fromstring(found)
    caption = root.find("table/caption")
    assert caption is not None
    return caption.text or "", [[cell.text or "" for cell in row] for row in root.iter("tr")]


def test_accuracies_are_in_percent_and_those_that_are_not_there_are_a_dash() -> None:
    rows = {"": {"raw pixels": 0.40449, "trained": 1.0}, "color": {"trained": 0.0, "linear best": 0.9999}}
    assert cells(accuracies(History(rows=rows))) == (
        "Accuracies",
        [
            ["accuracy, %", "raw pixels", "trained", "linear best"],
            ["class", "40.4", "100.0", "-"],
            ["color", "-", "0.0", "100.0"],
        ],
    )


def test_the_head_says_which_rows_are_no_accuracies() -> None:
    def head(*labels: str) -> str:
        return cells(accuracies(History(rows={label: {"trained": -0.5} for label in labels})))[1][0][0]

    assert head("shape", "scale_r2") == "accuracy, R2, %"
    assert head("map") == "accuracy, mAP, %"
    assert head("tags_map", "tags", "r2", "x_r2") == "accuracy, R2, mAP, %"
    assert head("bitmap", "r2_score", "scale-r2") == "accuracy, %"  # labels that are called so
    assert cells(accuracies(History(rows={"scale_r2": {"trained": -0.5}})))[1][1] == ["scale_r2", "-50.0"]


def test_as_many_rows_are_shown_as_fit_and_the_rest_is_said() -> None:
    rows = {f"label {place}": {"trained": 0.5} for place in range(ROWS)}
    caption, shown = cells(accuracies(History(rows=rows)))
    assert (caption, len(shown)) == ("Accuracies", 1 + ROWS)
    caption, shown = cells(accuracies(History(rows={**rows, "last": {"trained": 0.5, "other": 0.1}})))
    assert (caption, len(shown)) == (f"Accuracies of the first {ROWS} of {ROWS + 1} labels", 1 + ROWS)
    assert shown[-1] == [f"label {ROWS - 1}", "50.0", "-"]


def test_a_table_can_be_read_aloud_and_scrolled_without_a_pointer() -> None:
    root = ET.fromstring(table("A < B", ["", "x"], [["row", "1"], ["other", "2"]]))
    assert root.attrib == {"class": "scrolls", "role": "region", "aria-label": "A < B", "tabindex": "0"}
    assert [cell.attrib for cell in root.findall("table/thead/tr/th")] == [{"scope": "col"}] * 2
    for row in root.findall("table/tbody/tr"):
        assert [(cell.tag, cell.attrib) for cell in row] == [("th", {"scope": "row"}), ("td", {})]


def test_facts_are_pairs_of_a_name_and_a_text_in_order() -> None:
    root = ET.fromstring(facts("How", [("command", "a && b"), ("date", "<now>"), ("command", "c")]))
    assert (root.tag, root.attrib) == ("dl", {"aria-label": "How", "class": "facts"})
    assert [[(part.tag, part.text) for part in pair] for pair in root] == [
        [("dt", "command"), ("dd", "a && b")],
        [("dt", "date"), ("dd", "<now>")],
        [("dt", "command"), ("dd", "c")],
    ]
