"""Which metrics belong on one chart, and what their lines are called."""

import re
from dataclasses import dataclass, field

from jepa_lightning.report.history import History, Point

BASELINES = {"_raw_pixels": "raw pixels", "_random_init": "random init"}
# of the schedule: what a name has in it, and the title of the chart
SCHEDULE = {
    "Weight decay": re.compile(r".*weight_decay"),
    "Learning rate": re.compile(r"lr([-/].*)?"),
    "EMA": re.compile(r"(.*[/_-])?(ema|momentum)(_decay)?"),
}
# charts of collapse measures that are read together; others have one each
TOGETHER = (
    ("rank", "effective_rank"),
    ("energy", "energy_other", "energy_blind"),
    ("context_rank", "context_effective_rank"),
    ("std", "context_std"),
    ("cosine", "context_cosine"),
)
MEASURES = {
    "rank": "Rank of the features",
    "energy": "Energy of true pairs and others",
    "energy_gap": "Energy gap",
    "content_share": "Content share of tokens",
    "std": "Standard deviation of features",
    "cosine": "Cosine between images",
    "context_rank": "Rank, context encoder",
    "ema_drift": "Distance of target and online weights",
}
LINES = {
    "rank": "RankMe",
    "effective_rank": "effective",
    "context_rank": "RankMe",
    "context_effective_rank": "effective",
    "energy": "true",
    "energy_other": "other image",
    "energy_blind": "mean of targets",
    "std": "target",
    "context_std": "context",
    "cosine": "target",
    "context_cosine": "context",
}


@dataclass
class Line:
    """A line of a chart.

    Attributes:
        label: of it.
        points: of it.
        flat: whether it is a baseline.
    """

    label: str
    points: list[Point]
    flat: bool = False


@dataclass
class Chart:
    """A chart.

    Attributes:
        title: of it.
        lines: of it.
        share: whether values are shares, which are shown in percent.
    """

    title: str
    lines: list[Line] = field(default_factory=list)
    share: bool = False


def grouped(history: History) -> dict[str, list[Chart]]:
    """Charts by section, in the order in which they are shown; sections without one are left out."""
    start = history.starts[-1]
    left = dict(history.values)
    sections = {
        "Probes": _probes(left, start.probes),
        "Collapse": [chart for monitor in start.monitors for chart in _collapse(left, monitor)],
        "Loss": _loss(left),
        "Schedule": _schedule(left),
        "Other": _each(left, [name for name in left if not name.endswith("/alarm")]),
    }
    return {name: charts for name, charts in sections.items() if charts}


def _probes(left: dict[str, list[Point]], probes: list[str]) -> list[Chart]:
    """One chart a label, with all probes on it; values without a label's name are those of the first label.

    A flat line says which probe it is of where that one has no curve.
    """
    charts: dict[str, Chart] = {}
    flat: list[tuple[str, Line]] = []
    for probe in sorted(probes, key=len, reverse=True):  # the name of one may begin that of another
        prefix = f"val/{probe}"
        for name in [name for name in left if name == prefix or name.startswith((f"{prefix}_", f"{prefix}/"))]:
            points, rest = left.pop(name), name.removeprefix(prefix).removeprefix("_")
            end = next((end for end in BASELINES if name.endswith(end)), "")
            label = f"_{rest}".removesuffix(end).removeprefix("_")
            if "/" in label or label.split("_")[-1] == "mae":
                continue  # classifiers that are compared, of which the best is there by itself
            line = Line(BASELINES.get(end, probe), points, flat=bool(end))
            flat += [(probe, line)] if end else []
            charts.setdefault(label, Chart(label or "accuracy", share=True)).lines.append(line)
    if len(charts) > 1:
        charts.pop("", None)
    curves = {line.label for chart in charts.values() for line in chart.lines if not line.flat}
    for probe, line in flat:
        line.label += "" if probe in curves else f", {probe}"
    for chart in charts.values():
        chart.lines.sort(key=lambda line: (line.flat, probes.index(line.label) if line.label in probes else 0))
    return list(charts.values())


def _collapse(left: dict[str, list[Point]], monitor: str) -> list[Chart]:
    measures = [name.partition("/")[2] for name in left if name.startswith(f"{monitor}/")]
    charts, of = [], "" if monitor == "collapse" else f"{monitor}: "
    for measure in [*MEASURES, *measures]:
        names = next((names for names in TOGETHER if measure in names), (measure,))
        found = [name for name in names if f"{monitor}/{name}" in left]
        if found and measure != "alarm":
            lines = [Line(LINES.get(name, name), left.pop(f"{monitor}/{name}")) for name in found]
            charts.append(Chart(of + MEASURES.get(names[0], names[0]), lines, share=names[0] == "content_share"))
    return charts


def _loss(left: dict[str, list[Point]]) -> list[Chart]:
    names = [name for name in left if "loss" in name.lower()]
    first = [name for name in names if name in ("train/loss", "val/loss")]
    chart = Chart("Loss", [Line(name.partition("/")[0], left.pop(name)) for name in first])
    return [*([chart] if first else []), *_each(left, [name for name in names if name not in first])]


def _schedule(left: dict[str, list[Point]]) -> list[Chart]:
    """One chart a kind; parameter groups with the same curve have one line."""
    charts = []
    for title, pattern in SCHEDULE.items():
        lines: dict[tuple[Point, ...], Line] = {}
        for name in [name for name in left if pattern.fullmatch(name)]:
            lines.setdefault(tuple(points := left.pop(name)), Line(_group(name), points))
        charts += [Chart(title, list(lines.values()))] if lines else []
    return charts[::-1]


def _group(name: str) -> str:
    """The parameter group in the name of a rate."""
    return re.sub(r"^lr[-/]|[-/]?weight_decay$", "", name) or name


def _each(left: dict[str, list[Point]], names: list[str]) -> list[Chart]:
    return [Chart(name, [Line(name, left.pop(name))]) for name in names]
