from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning import IJEPA
from jepa_lightning.cli.main import main
from jepa_lightning.interop.export import Exported

Refused = Callable[..., str]


def test_export_prints_the_parity(source: IJEPA, capsys: Any) -> None:
    source.save_pretrained("folder")
    capsys.readouterr()
    main(["export", "folder", "encoder.pt2", "--output", "tokens", "--image_size", "48"])
    said = capsys.readouterr().out
    assert "encoder.pt2: tokens of inputs [batch, 3, 48, 48]" in said
    assert "Outputs of a batch of 3 are within" in said


@pytest.mark.parametrize(("difference", "said"), [(2e-5, "are within 2.0e-05"), (None, "pip install onnxruntime")])
def test_how_far_the_outputs_are_from_those_of_the_module_is_said(
    difference: float | None, said: str, source: IJEPA, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    fake(monkeypatch, difference, asked)
    source.save_pretrained("folder")
    main(["export", "folder", "~/out.onnx", "--image_size", "[32, 48]"])
    out = capsys.readouterr().out
    assert "out.onnx: pooled of inputs [batch, 3, 32, 48]" in out
    assert said in out
    assert asked == [(Path("~/out.onnx").expanduser(), "pooled", None, (32, 48))]


def test_outputs_that_are_far_from_those_of_the_module_are_an_error(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, 2e-4, [])
    assert "the outputs of out.onnx are up to 2.0e-04 from those of the module: leave it." in refused(
        "export", "folder", "out.onnx"
    )


def fake(monkeypatch: pytest.MonkeyPatch, difference: float | None, asked: list[Any]) -> None:
    """Exports nothing, and finds this difference."""

    def export(module: Any, place: Path, output: str, probe: Any, size: Any) -> Exported:
        asked.append((place, output, probe, size))
        return Exported(files=(place,), difference=difference, size=(3, 32, 48))

    monkeypatch.setattr("jepa_lightning.cli.export.export", export)


BAD: dict[str, tuple[list[str], str]] = {
    "ending": (["export", "folder", "out.txt"], ".onnx is ONNX"),
    "no such folder": (["export", "folder", "none/out.pt2"], "there is no folder none"),
}


@pytest.mark.parametrize("case", BAD)
def test_each_fault_is_one_line_and_nothing_is_written(case: str, refused: Refused) -> None:
    arguments, said = BAD[case]
    assert said in refused(*arguments)


def test_nothing_is_answered_with_an_example(refused: Refused) -> None:
    assert "jepa-lightning export CKPT OUT.onnx" in refused("export")
