"""What training has added: accuracies before and after it, as sentences and as a picture of text and boxes."""

import re
from dataclasses import dataclass

from jepa_lightning.report.history import History, Row
from jepa_lightning.report.markup import Markup, element

POINTS = 0.03  # about two standard errors of a difference at 2,000 samples, ProbeReport's default
NAMED = 6  # labels in a sentence
ROWS = 60  # labels in a picture; the table has more
TRAINED = re.compile(r"(?P<name>.* )?trained(?P<kind>, attentive)?")


@dataclass(frozen=True)
class Gain:
    """A label before and after training.

    Attributes:
        label: of it.
        before: on random weights, or at the first validation.
        after: at the end.
        pixels: on raw pixels, None where that was not measured.
    """

    label: str
    before: float
    after: float
    pixels: float | None

    @property
    def tone(self) -> str:
        """``good``, ``bad`` or ``same``."""
        added = self.after - self.before
        return "same" if abs(added) < POINTS else "good" if added > 0 else "bad"


def gains(history: History) -> dict[str, list[Gain]]:
    """Labels before and after training, by the probe that has read them; a probe of tokens comes first."""
    columns = dict.fromkeys(column for row in history.rows.values() for column in row)
    found = {}
    for column in columns:
        if trained := TRAINED.fullmatch(column):
            name, kind = trained["name"] or "", trained["kind"] or ""
            title = f"{name}{'Attentive probe on tokens' if kind else 'Linear probe on pooled features'}"
            pairs = [_gain(label, row, f"{name}random init{kind}", column, f"{name}raw pixels")
                     for label, row in history.rows.items()]  # fmt: skip
            found[title] = [gain for gain in pairs if gain is not None]
    return {title: pairs for title, pairs in sorted(found.items()) if pairs}


def sentences(pairs: list[Gain]) -> list[tuple[str, str]]:
    """What has become of the labels: pairs of a tone and a sentence."""
    by_tone = {tone: [gain for gain in pairs if gain.tone == tone] for tone in ("good", "bad", "same")}
    by_tone["good"].sort(key=lambda gain: gain.before - gain.after)
    below = [gain for gain in pairs if gain.pixels is not None and gain.after < gain.pixels]
    said = []
    if by_tone["good"]:
        said.append(("good", f"Training added {_names(by_tone['good'])}."))
    else:
        said.append(("bad", "Training added nothing that this probe can read."))
    if by_tone["bad"]:
        said.append(("bad", f"It lost {_names(by_tone['bad'])}."))
    if by_tone["same"] and by_tone["good"]:
        said.append(("same", f"Within {100 * POINTS:.0f} points of before: {_names(by_tone['same'])}."))
    if below:
        said.append(("same", f"Raw pixels are still better for {_names(below)}."))
    return said


def picture(title: str, pairs: list[Gain]) -> Markup:
    """Each label on a line from 0 to 100 %: raw pixels, before, after."""
    rows = [_row(gain) for gain in pairs[:ROWS]]
    key = element(
        "p",
        element("span", element("i", class_="tick"), "raw pixels"),
        element("span", element("i", class_="before"), "before training"),
        element("span", element("i", class_="after"), "after it"),
        element("span", "from 0 to 100 %"),
        class_="key",
        aria_hidden="true",
    )
    return element("figure", element("figcaption", element("b", title), key), element("ul", *rows), class_="gains")


def _gain(label: str, row: Row, before: str, after: str, pixels: str) -> Gain | None:
    if before not in row or after not in row:
        return None
    return Gain(label or "class", row[before], row[after], row.get(pixels))


def _row(gain: Gain) -> Markup:
    start, end = sorted((_percent(gain.before), _percent(gain.after)))
    marks = [element("i", class_="bar", style=f"left:{start:.1f}%;width:{end - start:.1f}%")]
    if gain.pixels is not None:
        marks.append(element("i", class_="tick", style=f"left:{_percent(gain.pixels):.1f}%"))
    marks += [
        element("i", class_="before", style=f"left:{_percent(gain.before):.1f}%"),
        element("i", class_="after", style=f"left:{_percent(gain.after):.1f}%"),
    ]
    pixels = "" if gain.pixels is None else f", raw pixels {100 * gain.pixels:.1f} %"
    added = f"{100 * (gain.after - gain.before):+.1f}".replace("-", "\u2212")
    return element(
        "li",
        element("span", gain.label, class_="label"),
        element("span", *marks, class_="track", role="img", aria_label=f"on a line from 0 to 100 %{pixels}"),
        element("span", f"{100 * gain.before:.1f} → {100 * gain.after:.1f} %", class_="numbers"),
        element("b", added, class_="added"),
        class_=gain.tone,
    )


def _percent(value: float) -> float:
    return 100 * min(1.0, max(0.0, value))  # R2 may be below 0


def _names(pairs: list[Gain]) -> str:
    names = [gain.label for gain in pairs[:NAMED]]
    if len(pairs) > NAMED:
        names.append(f"{len(pairs) - NAMED} more")
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
