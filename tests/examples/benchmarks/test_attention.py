import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[3] / "examples" / "benchmarks" / "attention.py"


def test_it_prints_a_row_for_each_length() -> None:
    command = [sys.executable, str(BENCHMARK), "--lengths", "4", "8", "--tokens", "16", "--repeats", "1"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["length", "4", "8"]
    assert all(float(ratio) > 0 for line in lines[1:] for ratio in line.split()[1:])
