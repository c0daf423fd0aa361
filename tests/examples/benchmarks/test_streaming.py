import pytest


def test_prints_a_ratio_with_and_without_decoding_from_memory_and_disk(example, capsys):
    pytest.importorskip("litdata")
    example("benchmarks/streaming.py").main(["--images", "80", "--size", "48", "36", "--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["read and decoded"] * 2 + ["read"] * 2
    assert all(float(line.split()[-1]) > 0 for line in lines)
