import io
from pathlib import Path

import pytest

from jepa_lightning.checkpoints import local_copy


def test_a_path_is_its_own_copy(tmp_path: Path) -> None:
    for source in (tmp_path / "last.ckpt", str(tmp_path / "last.ckpt")):
        with local_copy(source) as path:
            assert path == tmp_path / "last.ckpt"


def test_what_lies_elsewhere_is_copied_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"weights")
    for source in (f"file://{tmp_path}/last.ckpt", io.BytesIO(b"weights")):
        with local_copy(source) as path:
            assert path.read_bytes() == b"weights"
            assert path.parent != tmp_path
        assert not path.exists()


def test_errors_name_the_address(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=f"there is no checkpoint file://{tmp_path}/none"),
        local_copy(f"file://{tmp_path}/none"),
    ):
        pass
    with pytest.raises(ValueError, match="cannot fetch nowhere://a/b: "), local_copy("nowhere://a/b"):
        pass
    with pytest.raises(ValueError, match=r"^cannot read the open file: it is empty$"), local_copy(io.BytesIO()) as path:
        raise ValueError(f"cannot read {path}: it is empty")


def test_a_checkpoint_set_aside_by_a_killed_run_is_found(tmp_path: Path) -> None:
    (tmp_path / ".previous").mkdir()
    (tmp_path / ".previous/last.ckpt").write_bytes(b"weights")
    with local_copy(tmp_path / "last.ckpt") as path:
        assert path.read_bytes() == b"weights"
