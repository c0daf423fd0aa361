from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.checkpoints import MADE_BY
from jepa_lightning.cli import main


def stderr_of(arguments: list[str], capsys: Any) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(arguments)
    return str(capsys.readouterr().err)


@pytest.mark.slow
def test_a_run_of_another_folder_is_evaluated_without_a_word_about_folders(
    tiny_cli: str, capsys: Any, recwarn: pytest.WarningsRecorder
) -> None:
    saver = "--trainer.callbacks+=ModelCheckpoint"
    main(["fit", "--config", tiny_cli, "--trainer.max_steps=1", saver])
    (last,) = Path("logs").rglob("*.ckpt")
    for command in ("validate", "predict"):
        main([command, "--config", str(last.parents[1] / "config.yaml"), "--ckpt_path", str(last)])
    said = [str(each.message) for each in recwarn]
    assert not [text for text in said if "dirpath has changed" in text or "Be aware that when using" in text]


@pytest.mark.slow
def test_a_checkpoint_of_python_of_another_method_is_refused_by_its_class(tiny_cli: str, capsys: Any) -> None:
    main(["fit", "--config", tiny_cli, "--trainer.max_steps=1"])
    (last,) = Path("logs").rglob("last.ckpt")
    content = torch.load(last, weights_only=True)
    assert content[MADE_BY] == "jepa_lightning.modules.ijepa.IJEPA"
    for name in ("_class_path", "_instantiator"):
        del content["hyper_parameters"][name]
    torch.save(content, "python.ckpt")
    main(["validate", "--config", tiny_cli, "--ckpt_path", "python.ckpt"])
    text = stderr_of(["validate", "--config", tiny_cli, "--model", "MAE", "--ckpt_path", "python.ckpt"], capsys)
    assert "python.ckpt is a checkpoint of jepa_lightning.modules.ijepa.IJEPA, not of jepa_lightning." in text
    assert "MAE: load it as IJEPA (--model IJEPA), or take another checkpoint." in text
