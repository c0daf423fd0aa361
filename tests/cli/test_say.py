from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from jepa_lightning.cli.say import say


def test_the_first_rank_alone_says_it(capsys: Any, monkeypatch: Any) -> None:
    for rank in (0, 1):
        monkeypatch.setattr(rank_zero_only, "rank", rank, raising=False)
        say("hello.")
    assert capsys.readouterr().out == "jepa-lightning: hello.\n"
