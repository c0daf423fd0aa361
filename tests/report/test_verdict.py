from typing import Any

import pytest

from jepa_lightning.report.history import History, read_history
from jepa_lightning.report.verdict import ALARMS, LINES, alarms, tiles, verdict


def test_what_training_has_added_comes_first(history: History) -> None:
    text = str(verdict(history))
    assert text.startswith('<section class="card verdict good"')
    assert '<p class="good first">Training added shape.</p><p class="bad">It lost color.</p>' in text
    assert "<h2>" not in text  # there is one probe


@pytest.mark.parametrize(("trained", "tone"), [(0.6, "good"), (0.35, "bad")])
def test_a_run_that_added_nothing_is_bad_and_several_probes_have_titles(trained: float, tone: str) -> None:
    row = {"random init": 0.4, "trained": 0.3, "random init, attentive": 0.4, "trained, attentive": trained}
    text = str(verdict(History(rows={"": row})))
    assert text.startswith(f'<section class="card verdict {tone}"')
    assert text.count("<h2>") == 2


def test_without_random_weights_it_says_what_the_probes_have_reached(make: Any) -> None:
    records = [make.start, make.values(10, val__linear_shape=0.2), make.values(20, val__linear_shape=0.42)]
    text = str(verdict(read_history(make.lines(records))[0]))
    assert "linear, shape: 42.0 %, 20.0 % at the first validation." in text
    assert "No comparison with random weights" in text
    many = {f"val__linear_{place:02d}": 0.5 for place in range(LINES + 3)}
    text = str(verdict(read_history(make.lines([make.start, make.values(10, **many)]))[0]))
    assert text.count("50.0 %.") == LINES
    assert "No probe has measured" in str(verdict(read_history(make.lines([make.start]))[0]))


def test_the_main_figures_are_the_last_ones_of_the_first_monitor(history: History) -> None:
    text = str(tiles(history))
    for name, value in (("Steps", "20"), ("Minutes", "1.5"), ("Alarms", "1"), ("Rank", "50"), ("Effective rank", "40")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert "Energy gap" not in text  # was not measured
    assert text.count('class="bad"') == 1
    history.alarms.clear()
    assert "<dt>Alarms</dt><dd>none</dd>" in str(tiles(history))
    assert 'class="bad"' not in str(tiles(history))


def test_alarms_are_in_the_order_of_steps_and_no_more_than_can_be_read() -> None:
    assert str(alarms(History())) == ""
    found = [(step, "collapse", f"text <{step}>") for step in range(ALARMS + 5, 0, -1)]
    text = str(alarms(History(alarms=found)))
    assert text.count("<li>") == ALARMS
    assert text.index("Step 1, collapse: </b>text &lt;1&gt;") < text.index("Step 2, collapse: ")
    assert f"Step {ALARMS + 1}," not in text
