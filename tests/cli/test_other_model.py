import contextlib
from pathlib import Path

import pytest

from jepa_lightning import modules
from jepa_lightning.cli.lightning_cli import JEPACLI

QUICKSTART = str(Path(__file__).parents[2] / "configs" / "quickstart.yaml")
METHODS = [
    name
    for name in modules.__all__
    if getattr(modules, name).traits is not None and name not in ("VJEPA", "WorldModel")
]


class Built(JEPACLI):
    """Stops before the run."""

    def __init__(self, *args: str) -> None:
        with contextlib.suppress(StopIteration):
            super().__init__(args)

    def after_instantiate_classes(self) -> None:
        raise StopIteration


@pytest.fixture(autouse=True)
def _arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", METHODS)
def test_the_quickstart_trains_any_method_on_images(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli = Built("fit", "--config", QUICKSTART, "--model", name)
    assert type(cli.model).__name__ == name
    assert cli.model.lr == 1e-3
    said = "would ignore these options, which are left out: ema" in capsys.readouterr().out
    assert said == (not cli.model.ema_pairs())


def test_what_the_command_line_gives_is_refused_and_not_left_out() -> None:
    with pytest.raises(ValueError, match=r"SimCLR: ema=.* has no effect"):
        Built("fit", "--config", QUICKSTART, "--model", "SimCLR", "--model.ema", "[0.9, 1.0]")
    cli = Built("fit", "--config", QUICKSTART, "--model", "SimCLR", "--model.ema_schedule", "linear")  # its default
    assert tuple(cli.model.hparams["ema"]) == (0.996, 1.0)
