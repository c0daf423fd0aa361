import re
from importlib import import_module  # a new process finds what it runs by its name

import numpy as np


def test_memory_and_time_of_each_protocol(example, capsys) -> None:
    size = ["--samples", "500", "--width", "16", "--classes", "5", "--noise", "0.1"]
    example("benchmarks/frozen_protocols.py")
    import_module("frozen_protocols").main([*size, "--protocols", "knn", "linear"])
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "500 x 16 features of 5 classes"
    names, accuracies = zip(
        *(re.fullmatch(r"(\w+): [\d,]+ MB, .* accuracy ([\d.]+) %.*", line).groups() for line in lines), strict=True
    )
    assert names == ("knn", "linear")
    assert set(accuracies) == {"100.0"}  # classes far apart


def test_files_share_the_centers_and_nothing_else(example, tmp_path) -> None:
    benchmark = example("benchmarks/frozen_protocols.py")
    benchmark.BLOCK = 64  # several blocks
    labels = benchmark.plant(tmp_path / "a.npy", 200, 8, 4, noise=0.01, seed=1)
    benchmark.plant(tmp_path / "b.npy", 200, 8, 4, noise=0.01, seed=2)
    a, b = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert labels[:5].tolist() == [0, 1, 2, 3, 0]
    np.testing.assert_allclose(a, b, atol=0.1)
    assert np.abs(a - b).min(axis=1).max() > 0
    assert np.abs(a[0] - a[1]).max() > 0.5
