import pytest


def test_prints_a_line_for_each_codec(example, capsys):
    pytest.importorskip("av")
    benchmark = example("benchmarks/video_decode.py")
    benchmark.main(["--codecs", "libx264", "mpeg4", "--seconds", "4", "--size", "64", "48", "--clips", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["libx264", "mpeg4"]
    assert all("clips/s, from the start" in line for line in lines)
