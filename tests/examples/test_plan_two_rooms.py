from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("gymnasium", reason="needs the extra worlds")


def test_learns_plans_and_makes_a_film(example, capsys):
    example("plan_two_rooms.py").main(
        ["--steps", "2", "--width", "16", "--episodes", "2", "--max_steps", "6", "--out", "rooms.gif"]
    )
    assert "0 of 2 goals reached: 0% to 66% with 95 % confidence" in capsys.readouterr().out
    with Image.open("rooms.gif") as film:
        assert film.size == (260, 260)
        assert 1 < film.n_frames <= 7  # equal frames are one


def test_stays_under_60_lines(example):
    assert len(Path(example("plan_two_rooms.py").__file__).read_text().splitlines()) < 60
