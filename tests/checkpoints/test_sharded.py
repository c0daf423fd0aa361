import os
import pickle
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


def rename_pieces(folder: Path, name: str) -> None:
    """Writes an index that has all pieces under another name."""
    index = pickle.loads((folder / ".metadata").read_bytes())
    for stored in index.storage_data.values():
        stored.relative_path = name
    (folder / ".metadata").write_bytes(pickle.dumps(index))


@pytest.mark.parametrize("name", ["../outside", "{}/outside", "sub/shard", "..", "", "sub\\shard", "link"])
def test_names_in_an_index_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    folder = folder_of(tmp_path / "last.ckpt")
    (folder / "sub").mkdir()
    for place in (tmp_path / "outside", folder / "sub/shard", folder / "sub\\shard"):
        shutil.copy(folder / "__0_0.distcp", place)
    (folder / "link").symlink_to(tmp_path / "outside")
    rename_pieces(folder, name.format(tmp_path))
    with pytest.raises(ValueError, match="names a piece outside of its folder"):
        read_shards(folder)
    with pytest.raises(ValueError, match="names a piece outside of its folder"):
        written_by(folder)


def test_a_link_within_the_folder_is_none_that_leaves_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "last.ckpt")
    (folder / "__0_0.distcp").rename(folder / "moved")
    (folder / "__0_0.distcp").symlink_to("moved")
    torch.testing.assert_close(read_shards(folder)["state_dict"], WEIGHTS, rtol=0, atol=0)


@pytest.mark.parametrize("piece", ["__0_0.distcp", "meta.pt", ".metadata"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, piece: str) -> None:
    folder = folder_of(tmp_path / "last.ckpt")
    (folder / piece).unlink()
    os.mkfifo(folder / piece)
    with pytest.raises(ValueError, match=f"{piece}: it is not a regular file"):
        read_shards(folder)


def test_a_flipped_bit_in_a_shard_is_noticed_without_checksums_beside_it(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "last.ckpt")
    shard = folder / "__0_0.distcp"
    whole = shard.read_bytes()
    place = whole.find(WEIGHTS["net.weight"].numpy().tobytes())
    shard.write_bytes(whole[: place + 4] + bytes([whole[place + 4] ^ 1]) + whole[place + 5 :])
    with pytest.raises(ValueError, match=r"damaged, __0_0.distcp: .*does not match its checksum"):
        read_shards(folder)


def test_tensors_that_claim_terabytes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "last.ckpt")
    index = pickle.loads((folder / ".metadata").read_bytes())
    index.state_dict_metadata["state_dict.net.weight"].size = torch.Size([10**7, 10**6])
    (folder / ".metadata").write_bytes(pickle.dumps(index))
    with pytest.raises(ValueError, match=r"it claims tensors of 4\d{13} bytes, and the shards hold \d+"):
        read_shards(folder)


def test_the_same_bytes_are_not_many_tensors(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "last.ckpt")
    index = pickle.loads((folder / ".metadata").read_bytes())
    for i, stored in enumerate(index.storage_data.values()):
        stored.offset, stored.length = i, (folder / "__0_0.distcp").stat().st_size - i
    (folder / ".metadata").write_bytes(pickle.dumps(index))
    with pytest.raises(ValueError, match="uses the same bytes of it several times"):
        read_shards(folder)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no weights of a module"):
        read_shards(folder_of(tmp_path / "last.ckpt", "another"))
