"""The page itself: what a run has learned first, then how it went, then how it was made."""

import re

from jepa_lightning.report import gains, tables
from jepa_lightning.report.charts import figure
from jepa_lightning.report.files import MARK
from jepa_lightning.report.gallery import gallery
from jepa_lightning.report.groups import grouped
from jepa_lightning.report.history import History
from jepa_lightning.report.markup import Markup, element, joined
from jepa_lightning.report.pictures import Film
from jepa_lightning.report.style import STYLE
from jepa_lightning.report.verdict import alarms, tiles, verdict

# a browser runs and asks for nothing, whatever a text may hold
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
CHARTS = {
    "Probes": "Accuracy of classifiers that were trained on the features beside the encoder. It should end above its "
    "first values, and above the flat lines.",
    "Collapse": "How many directions the features span, which should not fall towards 1, and whether the prediction "
    "looks at the image: then another image's energy is higher.",
    "Loss": "No measure of progress: the target moves with the encoder.",
    "Schedule": "",
    "Other": "",
}
FIT = re.compile(r"(jepa-lightning|python -m jepa_lightning) fit ")
SHOWN = 60  # charts of a section


def page(history: History, config: str, films: list[Film], faults: list[str]) -> str:
    """The whole page.

    Args:
        history: of the run.
        config: the configuration, as it is in its file; may be empty.
        films: pictures.
        faults: what is left out, and why.

    Returns:
        HTML without scripts, and without anything from elsewhere.
    """
    start = history.starts[-1]
    title = f"{start.method} on {start.data}" if start.data else start.method
    sections = {
        "results": ("Results", _results(history)),
        "pictures": ("Pictures", gallery(films) if films else Markup()),
        "curves": ("Curves", _curves(history)),
        "configuration": ("How it was made", _made(history, config, faults)),
        "next": ("Next", _next(history)),
    }
    shown = {name: section for name, section in sections.items() if section[1]}
    links = [element("a", head, href=f"#{name}") for name, (head, _) in shown.items()]
    body = [
        element(
            "header",
            element("h1", title),
            element("p", _course(history), class_="soft"),
            element("nav", *links, aria_label="Sections"),
        ),
        element(
            "main",
            verdict(history),
            tiles(history),
            alarms(history),
            *(element("section", element("h2", head), content, id=name) for name, (head, content) in shown.items()),
        ),
        element("footer", "Written by jepa_lightning from what lies in the folder of the run."),
    ]
    head = [
        element("meta", charset="utf-8"),
        Markup(f'{MARK} report">'),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{title}: report of a run"),
        element("style", Markup(STYLE)),
    ]
    return "<!DOCTYPE html>\n" + element("html", element("head", *head), element("body", *body), lang="en") + "\n"


def _course(history: History) -> str:
    """How long it took, when, and how it ended."""
    minutes, last = history.seconds / 60, history.last_step
    resumed = "" if len(history.starts) == 1 else f", resumed {len(history.starts) - 1} times"
    parts = [f"{last:,} steps in {minutes:.1f} min", f"started {history.starts[0].date}{resumed}", _ended(history)]
    return " · ".join(parts)


def _ended(history: History) -> str:
    if history.end is None:
        return "no end recorded: it is under way, or it was killed"
    return f"ended early at step {history.end.step:,}: {history.end.reason}" if history.end.reason else "finished"


def _results(history: History) -> Markup:
    if not history.rows:
        return Markup()
    pictures = [gains.picture(title, pairs) for title, pairs in gains.gains(history).items()]
    return joined(element("div", *pictures, class_="columns") if pictures else Markup(), tables.accuracies(history))


def _curves(history: History) -> Markup:
    steps = [step for step, _, _ in history.alarms]
    parts = []
    for name, charts in grouped(history).items():
        drawn = element("div", *(figure(chart, steps, history.last_step) for chart in charts[:SHOWN]), class_="charts")
        left = f" {len(charts) - SHOWN} more curves are left out here." if len(charts) > SHOWN else ""
        about = element("p", CHARTS[name] + left, class_="note") if CHARTS[name] or left else Markup()
        if name == "Other":
            parts.append(element("details", element("summary", f"{len(charts)} more curves"), about, drawn))
        else:
            parts.append(joined(element("h3", name), about, drawn))
    return joined(*parts)


def _made(history: History, config: str, faults: list[str]) -> Markup:
    start = history.starts[-1]
    commands = [("command", each.command) for each in history.starts]
    facts = tables.facts("How it was made", [*commands, ("date", start.date), *start.about.items()])
    parts = [facts]
    if config:
        parts.append(element("details", element("summary", "Configuration"), element("pre", config, tabindex=0)))
    if faults:
        items = [element("li", f"{fault}.") for fault in faults[:50]]
        parts.append(
            element("details", element("summary", f"{len(faults)} left out of this page"), element("ul", *items))
        )
    return joined(*parts)


def _next(history: History) -> Markup:
    end, start = history.end, history.starts[-1]
    left = [(name, path) for name, path in end.places] if end else []
    commands = list(end.next) if end else []
    if (end is None or end.reason) and FIT.match(start.command):
        given = re.sub(r" --ckpt_path[ =]\S+", "", start.command)
        commands.append(f"{given} --ckpt_path last")
    if not commands and not left:
        return Markup()
    places = tables.facts("What the run has left", left) if left else Markup()
    return element("div", places, *(element("pre", command) for command in commands), class_="commands")
