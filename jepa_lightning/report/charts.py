"""Line charts as inline SVG, whose colors are the page's, and their legends as text."""

import math
from collections.abc import Callable
from itertools import pairwise

from jepa_lightning.report.groups import Chart, Line
from jepa_lightning.report.history import Point
from jepa_lightning.report.markup import Markup, element, joined

WIDTH, HEIGHT = 360, 190  # of a chart, in units of its own
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 10, 24  # margins around the lines
BUCKETS = 150  # of steps, each drawn by its lowest and its highest value
MARKED = 16  # points of a line up to which each has a dot
COLORS = 6

_Place = Callable[[float, float], tuple[float, float]]  # of a step and a value


def figure(chart: Chart, alarms: list[int], last_step: int) -> Markup:
    """A chart with its title and its legend.

    Args:
        chart: what to draw.
        alarms: steps that are marked.
        last_step: where the axis ends.
    """
    drawn = [line for line in chart.lines if any(value is not None for _, value in line.points)]
    if not drawn:
        none = element("p", "no finite value", class_="none")
        return element("figure", element("figcaption", element("b", chart.title)), none, class_="chart")
    items = [_legend(line, place, chart.share, alone=len(drawn) == 1) for place, line in enumerate(drawn)]
    caption = element("figcaption", element("b", chart.title), element("ul", *items))
    return element("figure", caption, _svg(chart, drawn, alarms, last_step), class_="chart")


def number(value: float, share: bool = False) -> str:
    """A number as it is shown, and in percent if it is a share."""
    if share:
        return f"{100 * value:.1f} %"
    return f"{value:.4g}" if abs(value) < 1000 or abs(value) >= 1e6 else f"{value:,.0f}"


def thinned(points: list[Point], last_step: int) -> list[Point]:
    """The same curve in few points: of each stretch of steps the lowest and the highest value, and gaps."""
    if len(points) <= 2 * BUCKETS:
        return points
    buckets: dict[int, list[Point]] = {}
    for point in points:
        buckets.setdefault(point[0] * BUCKETS // (last_step + 1), []).append(point)
    kept = {points[0], points[-1]}
    for bucket in buckets.values():
        finite = [(value, step) for step, value in bucket if value is not None]
        kept |= {(step, value) for value, step in {min(finite), max(finite)}} if finite else set()
        kept |= {point for point in bucket[:1] if len(finite) < len(bucket) and point[1] is None}
    return sorted(kept, key=lambda point: point[0])


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from ``low`` to ``high``, about as many as asked for; one alone where both are the same."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(rough))
    step = min((unit * factor for factor in (1, 2, 5, 10)), key=lambda size: abs(size - rough))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 12 - math.floor(math.log10(step))) for place in range(first, last + 1)]


def _svg(chart: Chart, lines: list[Line], alarms: list[int], last_step: int) -> Markup:
    values = [value for line in lines for _, value in line.points if value is not None]
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    low, high = low - room, high + room
    last = max(last_step, 1)

    def at(step: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * step / last
        return round(x, 1), round(TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low), 1)

    parts = [_horizontal(at(0, value)[1], value, chart.share) for value in ticks(low, high)]
    parts += [_step_mark(at(step, low)[0], int(step)) for step in ticks(0, last) if step == int(step)]
    for step in alarms:
        x = at(min(step, last), low)[0]
        mark = element("title", f"alarm at step {step:,}")
        parts.append(element("g", mark, element("line", x1=x, x2=x, y1=TOP, y2=HEIGHT - BOTTOM), class_="alarm"))
    for place, line in reversed(list(enumerate(lines))):
        parts.append(_drawn(line, place, at, chart.share, last))
    said = "; ".join(_in_words(line, chart.share) for line in lines)
    options = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": f"{chart.title}: {said}."}
    return element("svg", *parts, **options)


def _drawn(line: Line, place: int, at: _Place, share: bool, last: int) -> Markup:
    points = thinned(line.points, last)
    if line.flat:
        points = [(0, points[-1][1]), (last, points[-1][1])]
    steps, move = [], True
    for step, value in points:
        if value is None:
            move = True
            continue
        x, y = at(step, value)
        steps.append(f"{'M' if move else 'L'}{x} {y}")
        move = False
    parts = [element("path", d="".join(steps))]
    if not line.flat:
        parts += [_dot(step, value, at, line.label, share) for step, value in _dots(points) if value is not None]
    return element("g", *parts, class_=_kind(line, place))


def _dots(points: list[Point]) -> list[Point]:
    """Points that have a dot: all of a few, otherwise those that no line leads to."""
    if len(points) <= MARKED:
        return points
    alone = [(-1, None), *points, (-1, None)]
    return [now for (before, now), (_, after) in pairwise(pairwise(alone)) if before[1] is None and after[1] is None]


def _dot(step: int, value: float, at: _Place, label: str, share: bool) -> Markup:
    x, y = at(step, value)
    title = element("title", f"{label}, step {step:,}: {number(value, share)}")
    return element("circle", title, cx=x, cy=y, r=2.6)


def _horizontal(y: float, value: float, share: bool) -> Markup:
    text = f"{100 * value:.4g} %" if share else f"{value:.6g}"
    grid = element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid")
    return joined(grid, element("text", text, x=LEFT - 6, y=y + 3.5, text_anchor="end"))


def _step_mark(x: float, step: int) -> Markup:
    text = f"{step // 1000}k" if step >= 10_000 and step % 1000 == 0 else f"{step:,}"
    return element("text", text, x=x, y=HEIGHT - 7, text_anchor="middle")


def _legend(line: Line, place: int, share: bool, alone: bool) -> Markup:
    swatch = element("i", class_=_kind(line, place), aria_hidden="true")
    last = element("span", number(_finite(line)[-1][1], share))
    return element("li", swatch, "last " if alone else f"{line.label} ", last)


def _kind(line: Line, place: int) -> str:
    """Classes of a line, which give it its color and its dashes."""
    return f"flat {line.label.split()[0]}" if line.flat else f"c{place % COLORS}"


def _in_words(line: Line, share: bool) -> str:
    (first, start), (last, end) = _finite(line)[0], _finite(line)[-1]
    if first == last or line.flat:
        return f"{line.label} {number(end, share)}"
    return f"{line.label} from {number(start, share)} at step {first:,} to {number(end, share)} at step {last:,}"


def _finite(line: Line) -> list[tuple[int, float]]:
    return [(step, value) for step, value in line.points if value is not None]
