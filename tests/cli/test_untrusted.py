"""No file runs code, whatever it is and by whichever way it comes in."""

import io
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.state_dict_saver import save

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import StartFrom
from jepa_lightning.checkpoints import CheckpointFiles
from jepa_lightning.cli.main import main

Build = Callable[..., Any]


@pytest.fixture
def good(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path) -> dict[str, Any]:
    """A checkpoint of a run of one step."""
    trainer = quiet_trainer(max_steps=1)
    trainer.fit(tiny_ijepa(), shapes())
    trainer.save_checkpoint(tmp_path / "good.ckpt")
    content: dict[str, Any] = torch.load(tmp_path / "good.ckpt", weights_only=True)
    return content


def file(good: dict[str, Any], payload: Any, path: Path) -> None:
    torch.save({**good, "hyper_parameters": {**good["hyper_parameters"], "more": payload}}, path)


def bare_pickle(good: dict[str, Any], payload: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(payload))


def legacy_file(good: dict[str, Any], payload: Any, path: Path) -> None:
    torch.save({**good, "more": payload}, path, _use_new_zipfile_serialization=False)


def folder(good: dict[str, Any], path: Path, optimizer: Any = None) -> None:
    rest = dict(good)
    save(
        {"state_dict": rest.pop("state_dict"), "optimizer_0": optimizer or rest["optimizer_states"][0]},
        checkpoint_id=path,
        no_dist=True,
    )
    del rest["optimizer_states"]
    torch.save(rest, path / "meta.pt")


def rest_of_a_folder(good: dict[str, Any], payload: Any, path: Path) -> None:
    folder(good, path)
    torch.save({**torch.load(path / "meta.pt", weights_only=True), "more": payload}, path / "meta.pt")


def index_of_a_folder(good: dict[str, Any], payload: Any, path: Path) -> None:
    folder(good, path)
    index = pickle.loads((path / ".metadata").read_bytes())
    index.storage_meta = payload
    (path / ".metadata").write_bytes(pickle.dumps(index))


def value_in_a_folder(good: dict[str, Any], payload: Any, path: Path) -> None:
    """Torch saves an optimizer's plain values one by one."""
    folder(good, path, {**good["optimizer_states"][0], "more": payload})


FORMS = [file, bare_pickle, legacy_file, rest_of_a_folder, index_of_a_folder, value_in_a_folder]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where the test's folder is served."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def refused(capsys: Any, *arguments: str) -> None:
    """The command ends in one line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    said = capsys.readouterr().err
    assert stop.value.code == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("jepa-lightning: error: cannot read "), said


@pytest.mark.parametrize("form", FORMS)
def test_through_the_command_line(good: Any, payload: Any, form: Any, tiny_cli: str, capsys: Any) -> None:
    form(good, payload, Path("bad.ckpt"))
    for command in ("fit", "validate", "predict"):
        refused(capsys, command, "--config", tiny_cli, "--ckpt_path", "bad.ckpt")
    start = ["--trainer.callbacks+=StartFrom", "--trainer.callbacks.path=bad.ckpt", "--trainer.max_steps=1"]
    refused(capsys, "fit", "--config", tiny_cli, *start)
    if Path("bad.ckpt").is_dir():
        refused(capsys, "consolidate", "bad.ckpt", "out.ckpt")
        refused(capsys, "fit", "--config", tiny_cli, "--ckpt_path", "bad.ckpt", "--trainer.strategy=fsdp2")


@pytest.mark.parametrize("form", FORMS)
def test_in_python(
    good: Any, payload: Any, form: Any, tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    path = tmp_path / "bad.ckpt"
    form(good, payload, path)
    with pytest.raises(ValueError, match="cannot read"):
        IJEPA.load_from_checkpoint(path)
    for act in ("fit", "validate"):
        with pytest.raises(ValueError, match="cannot read"):
            getattr(quiet_trainer(max_steps=2, plugins=[CheckpointFiles()]), act)(
                tiny_ijepa(), shapes(), ckpt_path=str(path)
            )
        with pytest.raises(ValueError, match="cannot read"):
            getattr(quiet_trainer(max_steps=2, strategy="fsdp2"), act)(tiny_ijepa(), shapes(), ckpt_path=str(path))
    with pytest.raises(ValueError, match="cannot read"):
        quiet_trainer(max_steps=1, callbacks=[StartFrom(str(path))]).fit(tiny_ijepa(), shapes())


@pytest.mark.parametrize("form", [file, bare_pickle, legacy_file])
def test_from_an_address(
    good: Any, payload: Any, form: Any, address: str, tiny_cli: str, capsys: Any, tiny_ijepa: Build, shapes: Build,
    quiet_trainer: Build,
) -> None:  # fmt: skip
    form(good, payload, Path("bad.ckpt"))
    for url in (f"{address}/bad.ckpt", f"file://{Path('bad.ckpt').absolute()}"):
        for command in ("fit", "validate"):
            refused(capsys, command, "--config", tiny_cli, "--ckpt_path", url)
        with pytest.raises(ValueError, match=f"cannot read {url}"):
            IJEPA.load_from_checkpoint(url)
        with pytest.raises(ValueError, match=f"cannot read {url}"):
            quiet_trainer(plugins=[CheckpointFiles()]).fit(tiny_ijepa(), shapes(), ckpt_path=url)
    with pytest.raises(ValueError, match="cannot read the open file"):
        IJEPA.load_from_checkpoint(io.BytesIO(Path("bad.ckpt").read_bytes()))


def test_a_good_one_from_an_address(good: Any, address: str, tiny_cli: str) -> None:
    for source in (f"{address}/good.ckpt", io.BytesIO(Path("good.ckpt").read_bytes())):
        loaded = IJEPA.load_from_checkpoint(source).state_dict()
        torch.testing.assert_close(loaded, good["state_dict"], rtol=0, atol=0)
    main(["fit", "--config", tiny_cli, "--ckpt_path", f"{address}/good.ckpt", "--trainer.max_steps=2"])
    (last,) = Path("logs").rglob("last.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] == 2


def test_a_class_that_is_not_lightnings_does_not_build_the_model(good: Any, tiny_cli: str, capsys: Any) -> None:
    good["hyper_parameters"]["_instantiator"] = "os.mkdir"
    torch.save(good, "bad.ckpt")
    with pytest.raises(ValueError, match=r"bad.ckpt names 'os.mkdir' to build its model with"):
        IJEPA.load_from_checkpoint("bad.ckpt")
    del good["hyper_parameters"]["_instantiator"]
    good["hyper_parameters"]["class_path"] = "this.Model"
    torch.save(good, "bad.ckpt")
    with pytest.raises(SystemExit):
        main(["validate", "--config", tiny_cli, "--ckpt_path", "bad.ckpt"])
    assert "'class_path' is not the name of an option" in capsys.readouterr().err
    assert "this" not in sys.modules
