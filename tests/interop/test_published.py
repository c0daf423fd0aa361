"""Published files by name: where they are, what is known of them, and how they are fetched."""

from collections.abc import Callable
from http.client import RemoteDisconnected
from pathlib import Path
from typing import Any, get_args
from urllib.error import HTTPError, URLError

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.cli.main import main
from jepa_lightning.interop.architecture import Family
from jepa_lightning.interop.entries import open_reference
from jepa_lightning.interop.published import BASE, PUBLISHED, locate
from jepa_lightning.interop.start import start_from_

Write = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of `torch.hub`, beside an empty working folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    return tmp_path / "cache" / "checkpoints"


def test_what_is_known_of_each_file() -> None:
    for name, known in PUBLISHED.items():
        assert known.family in get_args(Family)
        assert name.startswith(known.family)
        assert known.image_size % 16 == 0
        assert (known.num_frames == 1) == (known.family == "ijepa")
        assert Path(known.path).suffix in (".pt", ".tar")
    names = [Path(known.path).name for known in PUBLISHED.values()]
    assert len(set(names)) == len(names)  # the name of a file says which one it is
    assert {known.license for known in PUBLISHED.values()} == {"MIT", "CC-BY-NC-4.0"}


def test_a_path_comes_before_a_name(cache: Path) -> None:
    Path("vjepa2_vit_large").write_text("mine")
    assert locate("vjepa2_vit_large") == (Path("vjepa2_vit_large"), None)
    assert locate(Path("vjepa2_vit_large"))[1] is None


@pytest.mark.parametrize("folder", ["", "~/"])
def test_a_file_of_the_name_of_a_published_one_is_known(
    folder: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    Path("vitl.pt").write_text("mine")
    Path("link").symlink_to("vitl.pt")
    assert locate(f"{folder}vitl.pt") == (Path(f"{folder}vitl.pt").expanduser(), PUBLISHED["vjepa2_vit_large"])
    assert locate("link")[1] is None


def test_a_file_is_downloaded_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def download(url: str, place: str, progress: bool) -> None:
        asked.append(url)
        Path(place).write_text("weights")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        assert locate("vjepa2_vit_large") == (cache / "vitl.pt", PUBLISHED["vjepa2_vit_large"])
    assert asked == [f"{BASE}/vjepa2/vitl.pt"]


@pytest.mark.parametrize(
    "error",
    [
        URLError("no\nroute"),
        HTTPError("https://a", 403, "Forbidden", {}, None),  # type: ignore[arg-type]
        RemoteDisconnected("it has hung up"),
        OSError(28, "No space left on device"),
        TimeoutError("timed out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_be_downloaded_says_how_to_do_it_by_hand(
    error: Exception, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(
        ValueError, match=rf"cannot download vjepa2_vit_large \(.*put it at {cache}/vitl\.pt\."
    ) as found:
        locate("vjepa2_vit_large")
    assert "\n" not in str(found.value)


def test_a_cache_that_cannot_be_made_is_one_line(cache: Path) -> None:
    cache.parent.write_text("a file")
    with pytest.raises(ValueError, match="cannot download vjepa2_vit_large"):
        locate("vjepa2_vit_large")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vjepa2_vit_larg", "did you mean vjepa2_vit_large?"),
        ("mine", "published ones are ijepa_vith14_1k, "),
        ("", None),
        ("./none.pt", "there is no file ./none.pt, and no published model of that name"),
    ],
)
def test_a_name_that_there_is_not(name: str, said: str | None, cache: Path) -> None:
    if said is None:  # the working folder
        assert locate(name) == (Path(), None)
        return
    with pytest.raises(FileNotFoundError) as error:
        locate(name)
    assert said in str(error.value)


def test_names_are_resolved_up_to_the_request(monkeypatch: Any, tmp_path: Path) -> None:
    asked = []

    def download(url: str, place: str, progress: bool) -> None:
        asked.append((url, Path(place).name))
        assert progress
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match=r"no route to host\): fetch https://dl.*300e\.pth\.tar where there is a net"):
        IJEPA.from_pretrained("ijepa_vith14_1k")
    with pytest.raises(ValueError, match=rf"put it at {tmp_path}/checkpoints/vitl\.pt"):
        VJEPA.from_pretrained("vjepa2_vit_large")
    base = "https://dl.fbaipublicfiles.com"
    assert asked == [
        (f"{base}/ijepa/IN1K-vit.h.14-300e.pth.tar", "IN1K-vit.h.14-300e.pth.tar"),
        (f"{base}/vjepa2/vitl.pt", "vitl.pt"),
    ]
    with pytest.raises(FileNotFoundError, match=r"did you mean ijepa_vith14_1k"):
        IJEPA.from_pretrained("ijepa_vith14_1")


def test_a_file_in_the_cache_is_not_downloaded(
    ijepa: IJEPA, reference_file: Write, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = tmp_path / "checkpoints" / "IN1K-vit.h.14-300e.pth.tar"
    place.parent.mkdir()
    reference_file(ijepa, "ijepa").rename(place)
    module = IJEPA.from_pretrained("ijepa_vith14_1k", heads=3, image_size=32, min_keep=2)
    state = ijepa.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


@pytest.fixture
def cut(ijepa: IJEPA, reference_file: Write, cache: Path) -> Path:
    """A published file in the cache, whose download was cut short."""
    cache.mkdir(parents=True)
    place = cache / "IN1K-vit.h.14-300e.pth.tar"
    place.write_bytes(reference_file(ijepa, "ijepa").read_bytes()[:-2000])
    return place


ADVICE = "If its download was cut short, delete {place}, and the next call downloads it again."


@pytest.mark.parametrize("content", [None, b"", b"<html>"], ids=["cut", "empty", "web page"])
def test_a_cut_file_in_the_cache_is_left_there_and_named(content: bytes | None, cut: Path, ijepa: IJEPA) -> None:
    if content is not None:
        cut.write_bytes(content)
    held = cut.read_bytes()
    for load in (IJEPA.from_pretrained, lambda name: start_from_(ijepa, name)):
        with pytest.raises(ValueError, match=r"^cannot read ") as error:
            load("ijepa_vith14_1k")
        assert str(error.value).endswith(f". {ADVICE.format(place=cut)}")
        assert "\n" not in str(error.value)
    assert cut.read_bytes() == held


def test_a_cut_file_is_named_by_inspect_too(cut: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["inspect", "ijepa_vith14_1k"])
    assert ADVICE.format(place=cut) in capsys.readouterr().err


def test_a_cut_file_that_was_given_by_its_path_is_for_its_owner(cut: Path) -> None:
    Path("ijepa_vith14_1k").write_bytes(cut.read_bytes())  # whose name is that of a published one
    for load in (IJEPA.from_pretrained, open_reference):
        for path in (cut, "ijepa_vith14_1k", Path("ijepa_vith14_1k").absolute()):
            with pytest.raises(ValueError, match=r"^cannot read ") as error:
                load(path)
            assert "delete" not in str(error.value)
