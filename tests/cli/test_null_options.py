from typing import Any

import pytest

from jepa_lightning.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model.width", "null"], None),  # None takes the encoder's own
        (["--model.lr", "null"], "model.lr: expected float, got null"),
        (["--model.depth=null", "--model.min_keep=null"], "model.min_keep: expected int, got null"),
        (["--model", "VJEPA", "--model.frame_step", "null"], "model.frame_step: expected int, got null"),
        (["--data.num_workers", "null"], "data.num_workers: expected int, got null"),
        (
            ["--trainer.callbacks+=OnlineKNN", "--trainer.callbacks.k=null"],
            "trainer.callbacks.k: expected int, got null",
        ),
        (["--trainer.max_epochs", "null"], None),
        (["--trainer.max_steps", "null"], "trainer.max_steps: expected int, got null"),
    ],
)
def test_null_is_refused_where_a_value_is_needed(
    tiny_cli: str, capsys: Any, arguments: list[str], line: str | None
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", tiny_cli, *arguments, *(["--print_config"] if line is None else [])])
    assert stop.value.code == (0 if line is None else 2)
    if line is not None:
        assert capsys.readouterr().err == f"jepa-lightning: error: {line}\n"
