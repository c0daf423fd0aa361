from pathlib import Path

import pytest

import jepa_lightning
from jepa_lightning import JEPAModule


@pytest.mark.slow
def test_writes_a_table_and_a_plot(example, tmp_path: Path, monkeypatch):
    compare = example("compare_methods.py")
    monkeypatch.setitem(compare.SIZES, "digits", (32, 8))
    monkeypatch.setitem(compare.ENCODER, "width", 48)
    monkeypatch.setitem(compare.ENCODER, "depth", 1)
    runs = ["--methods", "MAE", "SimCLR", "--seeds", "0", "1", "--steps", "2", "--batch-size", "8"]
    compare.main([*runs, "--data", "digits", "--num-workers", "0", "--out", str(tmp_path / "out" / "table")])
    head, _, *rows = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert [row.split(" | ")[0] for row in rows] == ["| raw pixels", "| random init", "| MAE", "| SimCLR"]
    assert head.startswith("| method | linear class | kNN class | ")
    assert all("±" in row.split(" | ")[1] for row in rows)
    assert (tmp_path / "out" / "table.png").stat().st_size > 1000


def _is_method(name: str) -> bool:
    value = getattr(jepa_lightning, name)
    return isinstance(value, type) and issubclass(value, JEPAModule) and value.traits is not None


def test_every_method_on_images_has_options_of_its_own(example):
    compare = example("compare_methods.py")
    assert set(compare.OPTIONS) == {name for name in jepa_lightning.__all__ if _is_method(name)} - {
        "VJEPA",
        "WorldModel",
    }  # take clips


def test_refuses_an_unknown_method(example, capsys):
    with pytest.raises(SystemExit):
        example("compare_methods.py").main(["--methods", "SIMCLR"])
    assert "SimCLR" in capsys.readouterr().err
