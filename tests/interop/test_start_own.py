"""A start from the weights of another module of this package."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.checkpoint.state_dict_saver import save

from jepa_lightning import IJEPA
from jepa_lightning.interop.fitting import NotLikeError
from jepa_lightning.interop.one_file import write_one_file
from jepa_lightning.interop.own_checkpoint import write_checkpoint
from jepa_lightning.interop.start_own import load_own_, own_state


@pytest.fixture
def module(ijepa: IJEPA) -> IJEPA:
    return IJEPA(**dict(ijepa.hparams))


def same(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in state.items())


@pytest.mark.parametrize("form", ["checkpoint", "one file", "folder", "shards"])
def test_each_form_of_this_package_has_weights_and_options(form: str, ijepa: IJEPA, tmp_path: Path) -> None:
    path = tmp_path / "given"
    if form == "folder":
        ijepa.save_pretrained(path)
    elif form == "shards":  # as Lightning's FSDP2 writes them
        save({"state_dict": ijepa.state_dict()}, checkpoint_id=path, no_dist=True)
        torch.save({"pytorch-lightning_version": "2.6.0", "hyper_parameters": dict(ijepa.hparams)}, path / "meta.pt")
    else:
        (write_checkpoint if form == "checkpoint" else write_one_file)(ijepa, path)
    found = own_state(path)
    assert found is not None
    assert same(found[0], ijepa.state_dict())
    assert found[1]["predictor_dim"] == 24


def test_other_weights_are_none_of_them(ijepa: IJEPA, tmp_path: Path) -> None:
    state = dict(ijepa.context_encoder.state_dict())
    torch.save({"encoder": state}, tmp_path / "a.pt")
    save_file(state, tmp_path / "a.safetensors", {"format": "pt"})
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text(json.dumps({"model_type": "ijepa"}))
    for name in ("a.pt", "a.safetensors", "folder"):
        assert own_state(tmp_path / name) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            {"state_dict": {"a": torch.ones(1)}},
            "is not a Lightning checkpoint: it holds a dict of state_dict, and lacks",
        ),
        ({"state_dict": {}, "pytorch-lightning_version": "2.6.0"}, "holds no weights"),
        ({"state_dict": {"a": 3}, "pytorch-lightning_version": "2.6.0"}, "a is not a tensor"),
        ({"state_dict": 3, "pytorch-lightning_version": "2.6.0"}, "its state_dict is a int"),
    ],
)
def test_a_checkpoint_that_is_damaged(content: Any, said: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=said):
        own_state(tmp_path / "a.ckpt")


def test_weights_are_taken_and_counted(ijepa: IJEPA, module: IJEPA) -> None:
    report = load_own_(module, ijepa.state_dict(), dict(ijepa.hparams), "a.ckpt")
    assert same(module.state_dict(), ijepa.state_dict())
    assert report.loaded == list(ijepa.state_dict())
    assert (report.source, report.reshaped, report.notes) == ("a.ckpt", {}, [])


def test_tables_stay_where_sizes_differ(ijepa: IJEPA) -> None:
    module = IJEPA(**{**dict(ijepa.hparams), "image_size": 64})
    before = module.context_encoder.pos_embed.clone()
    report = load_own_(module, ijepa.state_dict(), {}, "a.ckpt")
    assert torch.equal(module.context_encoder.pos_embed, before)
    assert torch.equal(module.context_encoder.norm.bias, ijepa.context_encoder.norm.bias)
    tables = ["context_encoder.pos_embed", "predictor.predictor_pos_embed", "target_encoder.pos_embed"]
    assert report.reshaped == dict.fromkeys(tables, "computed for this size")
    assert set(report.loaded) == set(ijepa.state_dict()) - set(tables)


def changed(state: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    """As many of the first names in another shape."""
    return {
        name: value.new_ones(2, 7) if place < number else value for place, (name, value) in enumerate(state.items())
    }


@pytest.mark.parametrize(("number", "end"), [(1, ""), (3, ""), (4, ", ...")])
def test_other_weights_are_refused_and_nothing_is_taken(number: int, end: str, ijepa: IJEPA, module: IJEPA) -> None:
    state = {name: value for name, value in ijepa.state_dict().items() if not name.endswith("pos_embed")}
    tables = {name: value for name, value in ijepa.state_dict().items() if name not in state}
    before = {name: value.clone() for name, value in module.state_dict().items()}
    names = ", ".join(sorted(list(state)[:number])[:3])
    with pytest.raises(NotLikeError) as error:
        load_own_(module, {**changed(state, number), **tables}, {}, "a.ckpt")
    assert f"a.ckpt has other weights than IJEPA as it is built here: {names}{end} differ. Build it" in str(error.value)
    assert same(module.state_dict(), before)


def test_weights_that_are_missing_or_have_no_place(ijepa: IJEPA, module: IJEPA) -> None:
    state = dict(ijepa.state_dict())
    for other in ({**state, "more": torch.ones(1)}, {k: v for k, v in state.items() if k != "predictor.mask_token"}):
        with pytest.raises(NotLikeError, match=r"built here: (more|predictor\.mask_token) differ\."):
            load_own_(module, other, {}, "a.ckpt")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_of_a_run_that_has_diverged(value: float, ijepa: IJEPA, module: IJEPA) -> None:
    before = {name: each.clone() for name, each in module.state_dict().items()}
    state = {**ijepa.state_dict(), "predictor.mask_token": torch.full((1, 1, 24), value)}
    with pytest.raises(ValueError, match=r"cannot use a\.ckpt: 24 values of predictor\.mask_token are not finite"):
        load_own_(module, state, {}, "a.ckpt")
    assert same(module.state_dict(), before)


def test_the_eps_of_the_norms_goes_with_them(ijepa: IJEPA, module: IJEPA) -> None:
    report = load_own_(module, ijepa.state_dict(), {"norm_eps": 0.01}, "a.ckpt")
    assert module.norm_eps == 0.01
    assert report.notes == ["norms have eps=0.01 as there"]
    other = IJEPA(**{**dict(ijepa.hparams), "norm_eps": 1e-5})
    with pytest.raises(NotLikeError, match=r"a\.ckpt: "):
        load_own_(other, ijepa.state_dict(), {"norm_eps": 0.01}, "a.ckpt")


@pytest.mark.parametrize("eps", ["x", True, -1, float("nan"), float("inf")])
def test_an_eps_that_is_none(eps: Any, ijepa: IJEPA, module: IJEPA) -> None:
    with pytest.raises(ValueError, match=r"norm_eps=.*: it must be a finite number of at least 0"):
        load_own_(module, ijepa.state_dict(), {"norm_eps": eps}, "a.ckpt")
    load_own_(module, ijepa.state_dict(), 3, "a.ckpt")  # options that are none say nothing
