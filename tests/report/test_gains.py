from typing import Any

import pytest

from jepa_lightning.report.gains import Gain, gains, picture, sentences
from jepa_lightning.report.history import History


def test_what_was_added_and_lost(history: History) -> None:
    ((title, pairs),) = gains(history).items()
    assert title == "Linear probe on pooled features"
    assert [(pair.label, pair.tone) for pair in pairs] == [("shape", "good"), ("color", "bad"), ("scale", "same")]
    assert sentences(pairs) == [
        ("good", "Training added shape."),
        ("bad", "It lost color."),
        ("same", "Within 3 points of before: scale."),
    ]


def test_a_run_that_has_learned_nothing_is_told_so() -> None:
    pairs = [Gain("a", 0.5, 0.51, 0.6), Gain("b", 0.5, 0.4, None)]
    assert sentences(pairs) == [
        ("bad", "Training added nothing that this probe can read."),
        ("bad", "It lost b."),
        ("same", "Raw pixels are still better for a."),
    ]


@pytest.mark.parametrize(("after", "tone"), [(0.54, "good"), (0.52, "same"), (0.48, "same"), (0.46, "bad")])
def test_three_points_are_the_limit(after: float, tone: str) -> None:
    assert Gain("a", 0.5, after, None).tone == tone


def test_the_greatest_gain_is_named_first_and_many_are_counted() -> None:
    pairs = [Gain(f"label {place}", 0.1, 0.2 + place / 100, None) for place in range(9)]
    text = sentences(pairs)[0][1]
    assert text == "Training added label 8, label 7, label 6, label 5, label 4, label 3 and 3 more."


def test_attentive_probes_and_named_reports_are_apart(make: Any) -> None:
    row = {"random init": 0.1, "trained": 0.2, "random init, attentive": 0.3, "trained, attentive": 0.5}
    row |= {"raw pixels": 0.15, "mine random init": 0.6, "mine trained": 0.9, "mine raw pixels": 0.7}
    found = gains(History(rows={"": row}))
    assert {title: pairs[0] for title, pairs in found.items()} == {
        "Attentive probe on tokens": Gain("class", 0.3, 0.5, 0.15),
        "Linear probe on pooled features": Gain("class", 0.1, 0.2, 0.15),
        "mine Linear probe on pooled features": Gain("class", 0.6, 0.9, 0.7),
    }
    assert not gains(History(rows={"": {"trained": 0.5}}))  # a resumed run may not know what was before


def test_the_picture_has_the_numbers_and_stays_within_its_line() -> None:
    text = picture("A", [Gain("angle_r2", -0.5, 0.25, 0.5)])
    assert "-50.0 → 25.0 %" in text
    assert "+75.0" in text
    assert 'class="before" style="left:0.0%"' in text
    assert 'class="after" style="left:25.0%"' in text
