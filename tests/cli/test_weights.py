"""What convert, inspect and export refuse alike."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from jepa_lightning.cli.main import main

Refused = Callable[..., str]
BAD: dict[str, tuple[list[str], str]] = {
    "no source": (["convert", "nothing", "out", "--to", "hf"], "there is no file nothing"),
    "no heads": (["convert", "reference.pth.tar", "out", "--to", "torch"], "give heads"),
    "web page": (["convert", "page.pt", "out", "--to", "torch"], "page.pt as weights: it is a web page"),
    "not finite": (["convert", "nan.pt", "out", "--to", "torch", "--heads", "3"], "are not finite"),
    "class": (["convert", "folder", "out", "--to", "hf", "--model", "Nothing"], "there is no class Nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_each_fault_is_one_line_and_nothing_is_written(case: str, refused: Refused) -> None:
    arguments, said = BAD[case]
    assert said in refused(*arguments)


def test_code_in_a_file_is_not_run(payload: Any, source: Callable[..., Any], capsys: Any) -> None:
    torch.save({"encoder": payload}, "evil.pt")
    for arguments in (
        ["inspect", "evil.pt"],
        ["convert", "evil.pt", "out", "--to", "hf"],
        ["export", "evil.pt", "o.pt2"],
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "which could run code" in capsys.readouterr().err
