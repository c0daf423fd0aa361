import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict_saver import save

from jepa_lightning import IJEPA
from jepa_lightning.checkpoints import check_shards, read_checkpoint, read_shards, written_by

WEIGHTS = {"net.weight": torch.arange(6.0).reshape(2, 3), "net.count": torch.tensor(3)}
STATE = {
    "state": {"net.weight": {"step": torch.tensor(4.0), "exp_avg": torch.ones(2, 3)}},
    "param_groups": [{"lr": 0.5, "betas": (0.9, 0.99), "params": ["net.weight"]}, {"lr": 0.1, "params": ["net.bias"]}],
}
REST = {"pytorch-lightning_version": "2.6.0", "global_step": 4, "hyper_parameters": {"width": 3}}


def folder_of(path: Path, key: str = "state_dict") -> Path:
    """As Lightning's FSDP2 writes it, and FSDP1 with another key."""
    save({key: WEIGHTS, "optimizer_0": STATE}, checkpoint_id=path, no_dist=True)
    torch.save(REST, path / "meta.pt")
    return path


@pytest.mark.parametrize(("key", "strategy"), [("state_dict", "FSDP2"), ("model", "FSDP1")])
def test_a_folder_reads_as_an_ordinary_checkpoint(tmp_path: Path, key: str, strategy: str) -> None:
    folder = folder_of(tmp_path / "last.ckpt", key)
    found = read_shards(folder)
    assert {name: found[name] for name in REST} == REST
    torch.testing.assert_close(found["state_dict"], WEIGHTS, rtol=0, atol=0)
    (state,) = found["optimizer_states"]
    torch.testing.assert_close(state["state"], STATE["state"], rtol=0, atol=0)
    assert state["param_groups"] == STATE["param_groups"]
    assert written_by(folder) == strategy
    assert "optimizer_states" not in read_shards(folder, optimizer=False)
    assert read_checkpoint(folder) == REST


@pytest.mark.parametrize("piece", ["__0_0.distcp", "meta.pt", ".metadata"])
def test_a_missing_piece_has_a_name(tmp_path: Path, piece: str) -> None:
    folder = folder_of(tmp_path / "last.ckpt")
    (folder / piece).unlink()
    with pytest.raises(ValueError, match=f"lacks its piece {piece}"):
        check_shards(folder)


def test_a_damaged_piece_has_a_name(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "last.ckpt")
    shard = folder / "__0_0.distcp"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1000])
    with pytest.raises(ValueError, match=r"__0_0.distcp is truncated: it has \d+ of \d+ bytes"):
        read_shards(folder)
    shard.write_bytes(bytes(len(whole)))
    with pytest.raises(ValueError, match="one of them is damaged"):
        read_shards(folder)
    (folder / ".metadata").write_text("no index")
    with pytest.raises(ValueError, match=r"cannot read .*\.metadata: it is truncated"):
        check_shards(folder)


def test_another_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder, but no checkpoint: it has neither meta.pt nor .metadata"):
        read_checkpoint(tmp_path)


def test_a_module_loads_from_a_folder(tiny_ijepa: Callable[..., IJEPA], tmp_path: Path) -> None:
    module = tiny_ijepa()
    save({"state_dict": module.state_dict()}, checkpoint_id=tmp_path / "last.ckpt", no_dist=True)
    rest: dict[str, Any] = {"hyper_parameters": dict(module.hparams), "pytorch-lightning_version": "2.6.0"}
    torch.save(rest, tmp_path / "last.ckpt" / "meta.pt")
    for path in (tmp_path / "last.ckpt", str(tmp_path / "last.ckpt")):
        loaded = IJEPA.load_from_checkpoint(path)
        assert loaded.hparams == module.hparams
        torch.testing.assert_close(loaded.state_dict(), module.state_dict(), rtol=0, atol=0)
    shutil.rmtree(tmp_path / "last.ckpt")
    with pytest.raises(FileNotFoundError):
        IJEPA.load_from_checkpoint(tmp_path / "last.ckpt")
