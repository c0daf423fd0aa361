from typing import Any

from jepa_lightning.cli.planning.table import table


def results(**changes: Any) -> dict[str, Any]:
    found = {
        "planner": "CEM(horizon=4)", "episodes": 40, "env": "World", "success": 0.775, "interval": [0.62, 0.88],
        "steps": 61.4, "random": 0.025, "random_interval": [0.004, 0.13], "random_steps": 9.0, "zero": 0.0,
        "zero_interval": [0.0, 0.09], "zero_steps": None, "oracle": None, "pixels": None,
        "rollout_error": {"true": [0.1, 0.2, 0.3], "still": [0.4, 0.5, 0.6]},
        "distance": {"true": [1.0, 20.0], "latent": [0.01, 0.5], "rank_correlation": 0.91}, "seconds_per_plan": 0.0123,
        "seconds_per_episode": 1.5,
    }  # fmt: skip
    return {**found, **changes}


def test_each_policy_that_was_run_has_a_row() -> None:
    lines = table(results()).splitlines()
    assert lines[0] == "CEM(horizon=4): 40 episodes of World"
    rows = {line.split()[0]: line.split() for line in lines if "%" in line and not line.startswith(" ")}
    assert rows["plan"] == ["plan", "78", "%", "62", "to", "88", "%", "61"]
    assert rows["random"] == ["random", "2", "%", "0", "to", "13", "%", "9"]
    assert rows["zero"][-1] == "-"
    assert {"oracle", "pixels"}.isdisjoint(rows)
    more = table(results(pixels=0.5, pixels_interval=[0.35, 0.65], pixels_steps=70.0))
    assert "pixels" in more


def test_errors_are_shown_after_1_2_4_8_and_16_steps() -> None:
    lines = table(results()).splitlines()
    (head,) = [line for line in lines if line.startswith("rollout error after")]
    assert head.split()[3:] == ["1", "2", "steps"]
    assert next(line for line in lines if line.startswith("true")).split() == ["true", "0.100", "0.200"]


def test_what_is_not_known_is_left_out() -> None:
    text = table(results(rollout_error=None, distance=None))
    assert "rollout" not in text
    assert "rank correlation" not in text
    assert text.endswith("0.0123 s a plan, 1.50 s an episode")
