import re

import pytest
import torch


@pytest.mark.parametrize("row", [0, 2])
def test_one_episode_is_planned_as_among_all(example, row):
    benchmark = example("benchmarks/planning.py")
    frames = torch.randint(0, 256, (3, 8, 8, 2), dtype=torch.uint8)
    together, alone = benchmark.scene_of(frames, frames), benchmark.scene_of(frames, frames, row)
    assert alone.running.tolist() == [row]
    assert torch.equal(alone.frames[0], together.frames[row])
    assert torch.equal(alone.goals[0], together.goals[row])


def test_rates_times_and_their_ratio_are_of_one_measurement(example, capsys, monkeypatch):
    monkeypatch.setattr(
        "sys.argv",
        ["planning.py", "--samples", "8", "--horizons", "2", "--iterations", "2", "--episodes", "4", "--width", "16",
         "--image_size", "16", "--repeats", "1", "--device", "cpu"],
    )  # fmt: skip
    example("benchmarks/planning.py").main()
    line = capsys.readouterr().out.splitlines()[-1]
    samples, horizon, rate, each, alone, ratio = (
        float(number.replace(",", "")) for number in re.findall(r"[\d.,]+", line)
    )
    assert (samples, horizon) == (8, 2)
    assert rate == pytest.approx((8 * 2 + 1) / each * 1000, rel=0.05)
    assert ratio == pytest.approx(alone / each, abs=0.1, rel=0.05)
