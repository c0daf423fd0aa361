def test_bytes_are_a_quarter(example, capsys):
    example("benchmarks/late_normalization.py").main(["--repeats", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["IJEPA, 224 px", "SimCLR, 224 px", "VJEPA, 16 frames, 224 px"]
    for line in lines:
        assert line.endswith("bytes 0.25")
        assert float(line.split("time ")[1].split(",")[0]) > 0
