from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict_saver import save

from jepa_lightning import IJEPA
from jepa_lightning.cli.main import main

Build = Callable[..., Any]


@pytest.fixture
def folder(tiny_cli: str, tmp_path: Path) -> Path:
    """A run's last checkpoint, as FSDP would have saved it."""
    main(["fit", "--config", tiny_cli, "--trainer.max_steps", "2", "--trainer.limit_val_batches", "0"])
    whole = torch.load("logs/IJEPA/version_0/checkpoints/last.ckpt", weights_only=True)
    state = {"state_dict": whole.pop("state_dict"), "optimizer_0": whole.pop("optimizer_states")[0]}
    save(state, checkpoint_id=tmp_path / "sharded.ckpt", no_dist=True)
    torch.save(whole, tmp_path / "sharded.ckpt" / "meta.pt")
    return tmp_path / "sharded.ckpt"


@pytest.mark.slow
def test_one_file_holds_what_the_folder_held(folder: Path, same_run: Any, tiny_cli: str, capsys: Any) -> None:
    main(["consolidate", str(folder), "out/one.ckpt"])
    assert "out/one.ckpt holds the checkpoint of step 2, 1." in capsys.readouterr().out
    assert [path.name for path in Path("out").iterdir()] == ["one.ckpt"]
    whole = torch.load("logs/IJEPA/version_0/checkpoints/last.ckpt", weights_only=True)
    same_run(whole, torch.load("out/one.ckpt", weights_only=True), 2)
    assert IJEPA.load_from_checkpoint("out/one.ckpt").hparams["width"] == 48
    ends = []
    for start in ("out/one.ckpt", str(folder), "logs/IJEPA/version_0/checkpoints/last.ckpt"):
        root = f"from_{Path(start).stem}"
        main(["fit", "--config", tiny_cli, "--ckpt_path", start, "--trainer.default_root_dir", root])
        ends.append(torch.load(f"{root}/IJEPA/version_0/checkpoints/last.ckpt", weights_only=True))
    same_run(ends[2], ends[0], 8)
    same_run(ends[2], ends[1], 8)


def error(capsys: Any, *arguments: str) -> tuple[str, Any]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["consolidate", *arguments])
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("jepa-lightning: error: "), stop.value.code


def test_what_does_not_work_ends_in_one_line_and_changes_nothing(folder: Path, capsys: Any) -> None:
    for arguments, line, code in (
        ([], "give the folder of shards and the file to write: jepa-lightning consolidate DIR OUT.", 2),
        (["nowhere", "one.ckpt"], "there is no checkpoint nowhere.", 1),
        (["tiny.yaml", "one.ckpt"], "tiny.yaml is a file already.", 1),
        (["logs", "one.ckpt"], "logs is a folder, but no checkpoint: it has neither meta.pt nor .metadata.", 1),
        ([str(folder), "tiny.yaml"], "tiny.yaml is there already: remove it, or give another name.", 1),
    ):
        assert error(capsys, *arguments) == (line, code)
    next(folder.glob("*.distcp")).unlink()
    assert error(capsys, str(folder), "one.ckpt") == (
        f"the checkpoint {folder} lacks its piece __0_0.distcp: copy it there, or take another.", 1
    )  # fmt: skip
    assert not Path("one.ckpt").exists()
