import json
import sys
import time
from pathlib import Path

import pytest


@pytest.fixture
def check(example):
    return lambda name: example(f"benchmarks/{name}.py")


def test_the_whole_check_takes_less_than_eight_minutes(check):
    # each part is killed at its limit; the rest is for the start of this process and the writing of the report
    limits = check("gpu_check").LIMITS
    assert sum(limits.values()) <= 8 * 60 - 15
    assert set(limits) == set(check("gpu_report").TITLES)


def test_a_part_that_hangs_or_dies_leaves_what_it_has_found(check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gpu_check = check("gpu_check")
    options = gpu_check.argparse.Namespace(minutes=1.0, device="cpu", tiny=True, folder=None, methods=None, eager=False)
    monkeypatch.setattr(gpu_check, "LIMITS", {"methods": 8.0, "speed": 120.0})
    monkeypatch.setattr(gpu_check, "DEFAULT_MINUTES", 1.0)
    ends = {"methods": ("import time; time.sleep(600)", "killed"), "speed": ("assert 0", "status 1")}
    for name, (end, expected) in ends.items():
        script = tmp_path / f"{name}.py"
        script.write_text(f"open({str(tmp_path / name)!r} + '.json', 'w').write('[{{\"name\": \"a\"}}]')\n{end}\n")
        monkeypatch.setattr(gpu_check, "__file__", str(script))
        start = time.monotonic()
        first, last = gpu_check.in_process(name, tmp_path, options)
        assert time.monotonic() - start < 300  # a part that hangs would take 600
        assert first == {"name": "a"}
        assert expected in last["error"]


def test_a_check_that_fails_keeps_no_other_from_running(check, tmp_path: Path):
    part = check("gpu_part").Part(tmp_path / "part.json", seconds=60.0)
    part.run("fails", lambda: 1 / 0)
    part.run("works", lambda: {"found": 2})
    part.run("needs more", lambda: {"found": 3}, least=100.0)
    first, second, third = json.loads((tmp_path / "part.json").read_text())
    assert first["error"] == "ZeroDivisionError: division by zero"
    assert second["found"] == 2
    assert third == {"name": "needs more", "skipped": "no time left"}


def test_losses_agree_up_to_rounding(check):
    compare = check("gpu_methods").compare
    expected = [2.0, 1.0]
    assert compare([2.0001, 1.01], expected, "fp32", draws=False)["agrees"]
    assert not compare([2.01, 1.0], expected, "fp32", draws=False)["agrees"]
    assert compare([2.01, 1.05], expected, "bf16 compiled", draws=False)["agrees"]
    assert not compare([2.0, 1.2], expected, "bf16", draws=False)["agrees"]
    assert compare([3.0, 3.0], expected, "fp32", draws=True)["agrees"]
    assert not compare([2.0, float("nan")], expected, "fp32", draws=True)["agrees"]


def test_gaps_are_where_nothing_runs(check):
    profile = check("gpu_profile")
    spans = [("a", 0, 100), ("c", 150, 200), ("b", 50, 120), ("d", 205, 300)]
    share, gaps = profile.idle([profile.Span(*span) for span in spans])
    assert share == pytest.approx(35 / 300)
    assert gaps == [{"microseconds": 30, "after": "b", "before": "c"}]  # the gap of 5 is too short to be listed
    assert profile.idle([]) == (0.0, [])


def test_the_report_names_what_failed_and_what_was_left_out(check):
    gpu_check = check("gpu_check")
    rows = [
        {"name": "IJEPA, bf16", "first": 0.5, "agrees": False, "seconds": 2.0},
        {"name": "MAE, bf16", "error": "RuntimeError: no kernel", "seconds": 1.0},
        {"name": "DINO, bf16", "skipped": "no time left"},
    ]
    waits = [{"name": "IJEPA, waits", "waits": ["a.py:3, 2 times"], "seconds": 1.0}]
    report = {"system": gpu_check.system("cpu", tiny=True), "parts": {"methods": rows, "profile": waits}}
    text = check("gpu_report").markdown(report)
    assert "1 of 3 done, in 3 s; NOT AGREEING: IJEPA, bf16." in text
    assert "- **MAE, bf16**: RuntimeError: no kernel" in text
    assert "not run, no time left: DINO, bf16" in text
    assert "| IJEPA, bf16 | 0.5 | NO | 2 |" in text
    assert "  - a.py:3, 2 times" in text
    assert gpu_check.failed(report)
    assert not gpu_check.failed({"parts": {"profile": waits}})


@pytest.mark.slow
def test_the_whole_check_runs_on_a_cpu_at_tiny_sizes(check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpu_check, methods = check("gpu_check"), ["IJEPA", "SimCLR"]
    words = ["--tiny", "--eager", "--minutes", "30", "--out", str(tmp_path / "found"), "--methods", *methods]
    assert gpu_check.main(words) == 0
    report = json.loads((tmp_path / "found.json").read_text())
    assert list(report["parts"]) == ["methods", "speed", "profile", "training"]
    names = [row["name"] for row in report["parts"]["methods"]]
    assert len(names) == len(methods) * 4
    assert all(row["agrees"] for row in report["parts"]["methods"] if not row["name"].endswith("CPU"))
    training = {row["name"]: row["summary"] for row in report["parts"]["training"]}
    assert len(training) == 3
    assert all("accuracy, %" in text for text in training.values())
    assert "# Check on a CPU" in (tmp_path / "found.md").read_text()


def test_without_a_device_only_the_trial_is_run(check, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(sys.modules["torch"].cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        check("gpu_check").main([])
    assert "there is no CUDA device here: give --tiny" in capsys.readouterr().err
