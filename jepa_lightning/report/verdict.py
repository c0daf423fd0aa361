"""What a person wants to know first: what training has added, whether something went wrong, and the main figures."""

from jepa_lightning.report.charts import number
from jepa_lightning.report.gains import gains, sentences
from jepa_lightning.report.groups import grouped
from jepa_lightning.report.history import History
from jepa_lightning.report.markup import Markup, element

TILES = {
    "rank": "Rank",
    "effective_rank": "Effective rank",
    "energy_gap": "Energy gap",
    "content_share": "Content share",
}
LINES = 12  # of probes
ALARMS = 50


def verdict(history: History) -> Markup:
    """What training has added, in sentences."""
    found = gains(history)
    if not found:
        return _without_report(history)
    parts, tones = [], []
    for title, pairs in found.items():
        if len(found) > 1:
            parts.append(element("h2", title))
        for place, (tone, text) in enumerate(sentences(pairs)):
            parts.append(element("p", text, class_=f"{tone} first" if place == 0 else tone))
            tones += [tone] if place == 0 else []
    tone = "good" if "good" in tones else "bad"
    return element("section", *parts, class_=f"card verdict {tone}", aria_label="In short")


def _without_report(history: History) -> Markup:
    """Where no probe compares the encoder with random weights: what the probes have reached."""
    charts = grouped(history).get("Probes", [])
    lines = []
    for chart in charts:
        for line in chart.lines:
            values = [value for _, value in line.points if value is not None]
            if values and not line.flat:
                first = f", {number(values[0], True)} at the first validation" if len(values) > 1 else ""
                lines.append(f"{line.label}, {chart.title}: {number(values[-1], True)}{first}.")
    text = "No comparison with random weights: ProbeReport was not there, or the run has not come to its end."
    none = [] if lines else ["No probe has measured: there is no accuracy to report, and a loss does not tell."]
    return element(
        "section",
        element("p", text if lines else none[0], class_="same first"),
        *(element("p", line, class_="same") for line in lines[:LINES]),
        class_="card verdict",
        aria_label="In short",
    )


def tiles(history: History) -> Markup:
    """The main figures."""
    found = [
        ("Steps", f"{history.last_step:,}", ""),
        ("Minutes", f"{history.seconds / 60:.1f}", ""),
        ("Alarms", str(len(history.alarms) or "none"), "bad" if history.alarms else ""),
    ]
    for monitor in history.starts[-1].monitors[:1]:
        for name, text in TILES.items():
            values = [value for _, value in history.values.get(f"{monitor}/{name}", []) if value is not None]
            if values:
                found.append((text, number(values[-1], name == "content_share"), ""))
    items = [
        element("div", element("dt", name), element("dd", text), class_=tone or None) for name, text, tone in found
    ]
    return element("dl", *items, class_="tiles")


def alarms(history: History) -> Markup:
    """Alarms with their steps; nothing where there was none."""
    if not history.alarms:
        return Markup()
    items = [
        element("li", element("b", f"Step {step:,}, {name}: "), text)
        for step, name, text in sorted(history.alarms)[:ALARMS]
    ]
    return element("section", element("h2", "Alarms"), element("ul", *items), class_="alarms", id="alarms")
