import re
from pathlib import Path

import pytest


def test_arrays_stay_shared(example, capsys):
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("Linux alone says how much memory of a process is its own")
    example("benchmarks/worker_memory.py").main(["--files", "100000", "--classes", "10"])
    records, arrays = map(float, re.findall(r"([\d.]+) MiB", capsys.readouterr().out))
    assert records > 10
    assert arrays < records / 4
