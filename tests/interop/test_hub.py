from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.interop.hub import FILES, hub_folder, is_repository

DOWNLOAD = "jepa_lightning.interop.hub.snapshot_download"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name", ["owner/name", "a/b-c_d.e", "timm/vit_tiny.augreg_in21k", "owner/vit-1.5", Path("a/b")]
)
def test_an_owner_and_a_name_are_a_repository(name: Any) -> None:
    assert is_repository(name)


@pytest.mark.parametrize(
    "name",
    ["name", "a/b/c", "./name", "../name", "~/name", "/name", "a/", "", "a b/c", "a/b?", "https://a/b", "a/b\n"]
    + [f"runs/last{end}" for end in (".ckpt", ".pt", ".PTH", ".pth.tar", ".safetensors", ".bin")],
)
def test_paths_and_files_are_none(name: str) -> None:
    assert not is_repository(name)


def test_what_is_on_the_disk_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("owner/name").mkdir(parents=True)
    assert not is_repository("owner/name")
    assert is_repository("owner/other")


def test_a_folder_is_fetched_with_the_files_that_are_read_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def download(name: str, **options: Any) -> str:
        asked.append((name, options))
        return "cache/snapshot"

    monkeypatch.setattr(DOWNLOAD, download)
    assert hub_folder("owner/name", revision="v1") == Path("cache/snapshot")
    assert asked == [("owner/name", {"allow_patterns": FILES, "revision": "v1"})]
    assert {"config.json", "model.safetensors", "pytorch_model.bin"} <= {*FILES}


@pytest.mark.parametrize("error", [OSError("no\nnetwork"), ValueError("a bad name"), RuntimeError("x" * 5000)])
def test_what_cannot_be_fetched_is_one_short_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(DOWNLOAD, refuse)
    with pytest.raises(
        FileNotFoundError, match=r"there is no owner/name on this disk.*`hf download owner/name`"
    ) as said:
        hub_folder("owner/name")
    assert "\n" not in str(said.value)
    assert len(str(said.value)) < 500
    assert said.value.__cause__ is error
