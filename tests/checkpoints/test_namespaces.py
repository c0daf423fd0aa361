import argparse
import io
import pickle
import struct
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.checkpoints.namespaces import NUMBERS, ForeignObjectError, PlainUnpickler, check_memo
from jepa_lightning.checkpoints.plain import read_plain


class Call:
    """Its pickle calls a function when it is read without care."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def through(value: Any, protocol: int = 2) -> Any:
    return PlainUnpickler(io.BytesIO(pickle.dumps(value, protocol))).load()


def test_options_in_namespaces_become_dicts_however_deep() -> None:
    options = argparse.Namespace(lr=0.5, data=SimpleNamespace(root=Path("/a/b"), sizes=(2, 3)), none=None)
    found = through({"hyper_parameters": options})
    assert found == {"hyper_parameters": {"lr": 0.5, "data": {"root": "/a/b", "sizes": (2, 3)}, "none": None}}
    assert through(argparse.Namespace()) == {}


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_plain_containers_of_any_protocol_are_read(protocol: int) -> None:
    value = {
        "ordered": OrderedDict(b=1, a=2), "default": defaultdict(list, {"a": [1]}), "set": {1, 2}, "raw": b"\xff\x00",
        "type": torch.bfloat16, "size": torch.Size([2, 3]), "device": torch.device("cuda", 1), "large": 2**80,
    }  # fmt: skip
    found = through(value, protocol)
    assert found == value
    assert type(found["default"]) is dict  # whose factory is not called
    assert list(found["ordered"]) == ["b", "a"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_are_those_of_numpy_in_either_order_of_bytes(name: str, order: str) -> None:
    kind = np.dtype(order + name)
    value = {"b": 1, "u": 201, "i": -99, "f": -1.5}[name[0]]
    scalar = np.float64(1).__reduce__()[0]
    found = through(Call(scalar, kind, np.array(value, kind).tobytes()))
    assert found == value
    assert type(found) in (float, int, bool)


@pytest.mark.parametrize("number", [np.complex64(1), np.datetime64("2020-01-01"), np.str_("a"), np.longdouble(1)])
def test_other_numbers_of_numpy_are_named(number: Any) -> None:
    with pytest.raises(ForeignObjectError, match="a number of numpy of type"):
        through(number)


def test_bytes_that_are_too_few_for_their_number_are_no_number() -> None:
    with pytest.raises(struct.error):
        through(Call(np.float64(1).__reduce__()[0], np.dtype("f8"), b"123"))


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (eval, ("1",), "eval"),
        (torch.load, ("a.pt",), "torch.*load"),
        (torch.nn.Linear, (2, 2), r"torch\.nn\.modules\.linear\.Linear"),
        (pytest.importorskip, ("os",), "importorskip"),
    ],
)
def test_what_could_run_is_named_and_not_called(function: Any, arguments: Any, name: str) -> None:
    with pytest.raises(ForeignObjectError, match=name):
        through(Call(function, *arguments))


def test_functions_of_lightning_are_refused_and_its_classes_are_names() -> None:
    from lightning.pytorch import seed_everything
    from lightning.pytorch.callbacks import ModelCheckpoint

    with pytest.raises(ForeignObjectError, match="seed_everything"):
        through({"callbacks": seed_everything})
    (named,) = through({ModelCheckpoint: 1})
    assert named is not ModelCheckpoint
    assert named.__name__ == "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint"
    with pytest.raises(ForeignObjectError, match="ModelCheckpoint"):
        named()


def test_text_is_encoded_as_pickles_of_bytes_have_it_and_in_no_other_way() -> None:
    import codecs

    with pytest.raises(ForeignObjectError, match="text in rot13"):
        through(Call(codecs.encode, "a", "rot13"))


def test_a_memo_is_as_large_as_its_pickle_at_most() -> None:
    check_memo(pickle.dumps({str(i): [i] for i in range(1000)}, 2))
    for large in (b"\x80\x02}r\xff\xff\xff\x7f.", b"(dp999999999\n."):
        with pytest.raises(ValueError, match="a memo beyond the file's size"):
            check_memo(large)


def test_a_namespace_of_lightning_1_is_plain_data(tmp_path: Path) -> None:
    """As written by its checkpoints: options in a class that need not be installed, callbacks named by theirs."""
    torch.save({"a": torch.nn.Parameter(torch.arange(3.0)), "path": Path("/a/b"), "raw": b"\xff"}, tmp_path / "a.pt")
    found = read_plain(tmp_path / "a.pt", namespaces=True)
    assert torch.equal(found["a"], torch.arange(3.0))
    assert found["path"] == "/a/b"
    assert found["raw"] == b"\xff"
    rest = (
        b"\x80\x02}q\x00(X\x10\x00\x00\x00hyper_parametersq\x01cpytorch_lightning.utilities.parsing\nAttributeDict\n"
        b"q\x02)\x81q\x03X\x02\x00\x00\x00lrq\x04G?\xf0\x00\x00\x00\x00\x00\x00sX\x09\x00\x00\x00callbacksq\x05}q\x06"
        b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\nq\x07K\x01su."
    )
    content = repacked(tmp_path / "a.pt", rest)
    (tmp_path / "b.pt").write_bytes(content)
    found = read_plain(tmp_path / "b.pt", namespaces=True)
    assert found["hyper_parameters"] == {"lr": 1.0}
    assert list(found["callbacks"].values()) == [1]


def test_a_class_that_is_named_is_not_built(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "a.pt")
    called = b"\x80\x02cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n)R."
    (tmp_path / "b.pt").write_bytes(repacked(tmp_path / "a.pt", called))
    with pytest.raises(ValueError, match=r"\(pytorch_lightning\.callbacks\.model_checkpoint\.ModelCheckpoint\)"):
        read_plain(tmp_path / "b.pt", namespaces=True)


def test_a_pickle_that_asks_for_a_large_table(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "a.pt")
    namespace = b"\x80\x02cargparse\nNamespace\n)\x81r\xff\xff\xff\x7f."
    (tmp_path / "b.pt").write_bytes(repacked(tmp_path / "a.pt", namespace))
    with pytest.raises(ValueError, match=r"truncated, or not a checkpoint"):
        read_plain(tmp_path / "b.pt", namespaces=True)


@pytest.mark.parametrize("number", ["float64", "float32", "int64", "bool_"])
def test_numbers_of_numpy_become_numbers(number: str, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    torch.save({"loss": getattr(numpy, number)(1)}, tmp_path / "a.pt")
    found = read_plain(tmp_path / "a.pt", namespaces=True)["loss"]
    assert found == 1
    assert type(found) in (float, int, bool)


def test_a_number_of_numpy_that_is_an_object_is_refused(payload: Any, tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    array: Callable[..., Any] = numpy.array
    torch.save({"loss": array([payload], dtype=object)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"more than plain data"):
        read_plain(tmp_path / "a.pt", namespaces=True)


def repacked(path: Path, data: bytes) -> bytes:
    """A file of ``torch.save`` with another pickle in it."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for name in source.namelist():
            target.writestr(name, data if name.endswith("data.pkl") else source.read(name))
    return out.getvalue()
