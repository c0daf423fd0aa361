import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from jepa_lightning.report.charts import BUCKETS, figure, number, thinned, ticks
from jepa_lightning.report.groups import Chart, Line


def drawn(chart: Chart, last: int = 100, alarms: tuple[int, ...] = ()) -> ET.Element:
    """The chart as XML, which an SVG in a page should be."""
    return ET.fromstring(figure(chart, list(alarms), last))


def places(root: ET.Element, kind: str) -> list[tuple[float, float]]:
    """Points of the path of a line."""
    (path,) = (group.find("path") for group in root.iter("g") if group.get("class") == kind)
    assert path is not None
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path.get("d", ""))]


def test_points_are_where_a_straight_scale_puts_them() -> None:
    line = Line("a", [(0, 1.0), (50, 3.0), (100, 2.0)])
    (x0, y0), (x1, y1), (x2, y2) = places(drawn(Chart("A", [line])), "c0")
    assert x1 == pytest.approx((x0 + x2) / 2, abs=0.1)
    assert (y0 - y2) / (y0 - y1) == pytest.approx(0.5, abs=0.01)  # up is less
    assert y0 > y2 > y1


def test_a_gap_parts_the_line_and_a_point_alone_has_a_dot() -> None:
    points: list[tuple[int, float | None]] = [(step, float(step)) for step in range(20)]
    points[10] = (10, None)
    points += [(20, None), (21, 21.0)]
    root = drawn(Chart("A", [Line("a", points)]), last=21)
    (group,) = (group for group in root.iter("g") if group.get("class") == "c0")
    path = group.find("path")
    assert path is not None
    assert path.get("d", "").count("M") == 3
    assert [title.text for title in group.iter("title")] == ["a, step 21: 21"]


def test_a_flat_line_goes_from_end_to_end() -> None:
    flat = Line("raw pixels", [(50, 0.5)], flat=True)
    root = drawn(Chart("A", [Line("a", [(50, 0.25), (100, 0.75)]), flat], share=True))
    (left, y0), (right, y1) = places(root, "flat raw")
    (_, first), (last, second) = places(root, "c0")
    assert (left, right) == (52, last)
    assert y0 == y1 == pytest.approx((first + second) / 2, abs=0.1)


def test_alarms_are_marked_and_the_chart_is_told_in_words() -> None:
    root = drawn(Chart("A", [Line("a", [(0, 1.0), (100, 2.0)])]), alarms=(30,))
    (alarm,) = (group for group in root.iter("g") if group.get("class") == "alarm")
    assert alarm[0].text == "alarm at step 30"
    (svg,) = root.iter("svg")
    assert svg.get("aria-label") == "A: a from 1 at step 0 to 2 at step 100."
    assert svg.get("role") == "img"


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-300, 1e300])
def test_a_constant_has_a_chart(value: float) -> None:
    ((_, y), _) = places(drawn(Chart("A", [Line("a", [(1, value), (2, value)])])), "c0")
    assert math.isfinite(y)


def test_a_line_without_a_finite_value_is_said() -> None:
    root = drawn(Chart("A", [Line("a", [(1, None)])]))
    assert "".join(root.itertext()) == "Ano finite value"


def test_thinned_curves_keep_lowest_and_highest_values_and_gaps() -> None:
    points: list[tuple[int, float | None]] = [(step, math.sin(step / 500)) for step in range(10_000)]
    points[3333], points[6666], points[9000] = (3333, 9.0), (6666, -9.0), (9000, None)
    few = thinned(points, 9999)
    assert len(few) <= 3 * BUCKETS
    assert few[0] == points[0]
    assert few[-1] == points[-1]
    assert {points[3333], points[6666], (9000, None)} <= set(few)
    assert few == sorted(few, key=lambda point: point[0])
    # no value of the curve is far from the drawn one
    kept = [(step, value) for step, value in few if value is not None]
    assert all(b[0] - a[0] <= 2 * 10_000 / BUCKETS for a, b in pairwise(kept))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 200, [0, 50, 100, 150, 200]),
        (0.21, 0.57, [0.3, 0.4, 0.5]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
        (3, 3, [3]),
        (0, 1e-3, [0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_numbers() -> None:
    assert [number(value) for value in (0.00581, 101.2, 12345.6, 2e9)] == ["0.00581", "101.2", "12,346", "2e+09"]
    assert number(0.5214, share=True) == "52.1 %"


def test_the_largest_numbers_have_a_chart() -> None:
    text = figure(Chart("a", [Line("a", [(1, -1e300), (2, 1e300)])]), [], 2)
    assert "1e+300" in text
    assert "inf" not in text
