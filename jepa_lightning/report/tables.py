"""Tables, which scroll by themselves where they are wider than the page."""

from jepa_lightning.report.history import History
from jepa_lightning.report.markup import Markup, element

ROWS = 200
OTHERS = {"r2": "R2", "map": "mAP"}  # ends of labels whose values are no accuracy


def accuracies(history: History) -> Markup:
    """The summary's table: accuracies of each label by what has read it, in percent."""
    columns = list(dict.fromkeys(column for row in history.rows.values() for column in row))
    others = [text for end, text in OTHERS.items() if any(label.split("_")[-1] == end for label in history.rows)]
    head = [", ".join(["accuracy", *others]) + ", %", *columns]
    body = [
        [label or "class", *(f"{100 * row[column]:.1f}" if column in row else "-" for column in columns)]
        for label, row in history.rows.items()
    ]
    more = f" of the first {ROWS} of {len(body)} labels" if len(body) > ROWS else ""
    return table(f"Accuracies{more}", head, body[:ROWS])


def facts(caption: str, pairs: list[tuple[str, str]]) -> Markup:
    """Names and what they stand for, as a list of definitions."""
    items = [element("div", element("dt", name), element("dd", text)) for name, text in pairs]
    return element("dl", *items, aria_label=caption, class_="facts")


def table(caption: str, head: list[str], body: list[list[str]]) -> Markup:
    """A table of text, of which the first column names the rows."""
    cells = [element("th", text, scope="col") for text in head]
    rows = [
        element("tr", element("th", row[0], scope="row"), *(element("td", text) for text in row[1:])) for row in body
    ]
    whole = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *cells)),
        element("tbody", *rows),
    )
    # whoever has no pointer scrolls it with the keyboard
    return element("div", whole, class_="scrolls", role="region", aria_label=caption, tabindex=0)
