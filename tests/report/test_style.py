import re
from pathlib import Path

import pytest

from jepa_lightning.report import write_report
from jepa_lightning.report.pictures import SHOWN
from jepa_lightning.report.style import STYLE

LIGHT, DARK, PRINT = (
    dict(re.findall(r"(--[\w-]+):([^;}]+)", block)) for block in re.findall(r":root\{([^}]*)\}", STYLE)
)
TEXTS = ("--ink", "--soft", "--good", "--bad", "--same", "--c0")
CURVES = tuple(f"--c{place}" for place in range(6))


def luminance(color: str) -> float:
    """Relative luminance of a color ``#rgb`` or ``#rrggbb``, by WCAG 2."""
    digits = color.removeprefix("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    shares = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Contrast of two colors, from 1 to 21, by WCAG 2."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colors", [LIGHT, DARK, PRINT], ids=["light", "dark", "print"])
def test_text_and_curves_stand_out_from_what_is_behind_them(colors: dict[str, str]) -> None:
    for back in ("--page", "--card"):
        for name in TEXTS:
            assert contrast(colors[name], colors[back]) >= 4.5, (name, back)
    assert contrast(colors["--bad"], colors["--bad-back"]) >= 4.5
    assert contrast(colors["--ink"], colors["--bad-back"]) >= 4.5
    for name in CURVES:
        assert contrast(colors[name], colors["--card"]) >= 3, name
    assert len({colors[name] for name in CURVES}) == 6


def test_each_color_is_used_and_has_a_value_for_each_way_to_look_at_the_page() -> None:
    used = set(re.findall(r"var\((--[\w-]+)\)", STYLE))
    assert set(LIGHT) == set(DARK) == set(PRINT) == used


def test_its_braces_match_and_no_rule_is_empty() -> None:
    depth = 0
    for sign in re.findall(r"[{}]", STYLE):
        depth += 1 if sign == "{" else -1
        assert 0 <= depth <= 3
    assert depth == 0
    assert "{}" not in STYLE
    assert "<" not in STYLE  # which could end the element that it stands in


def test_each_step_of_a_film_can_be_chosen_and_is_marked() -> None:
    for place in range(1, SHOWN + 1):
        chosen = f".film>input:nth-of-type({place})"
        for rule in (
            f"{chosen}:checked~.frames>figure:nth-of-type({place}){{display:block}}",
            f"{chosen}:checked~.strip>label:nth-of-type({place}){{background:var(--ink);",
            f"{chosen}:focus-visible~.strip>label:nth-of-type({place}){{outline:",
        ):
            assert rule in STYLE
    assert f"nth-of-type({SHOWN + 1})" not in STYLE
    # one of two rules of the same weight counts if it is the later one
    assert STYLE.index(".frames>figure{display:none}") < STYLE.index(":checked~.frames")


def test_what_a_page_names_has_a_rule(run: Path) -> None:
    assert not write_report(run, "history.jsonl", "report.html")
    text = (run / "report.html").read_text()
    names = {name for each in re.findall(r' class="([^"]*)"', text) for name in each.split()}
    assert len(names) > 20
    plain = {"label", "random"}  # names of rows of gains, and lines of random weights, which look as all flat lines
    assert {name for name in names if not re.search(rf"\.{name}\b", STYLE)} <= plain
