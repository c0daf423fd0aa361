"""Folders that `save_pretrained` writes, and configurations of them that are damaged."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from jepa_lightning import IJEPA, VJEPA, JEPAModule, SimCLR
from jepa_lightning.interop.own_folder import check_origin, class_of, is_own, own_config, read_own, write_own_weights
from jepa_lightning.interop.reading import UNFINISHED
from jepa_lightning.nn import VisionTransformer

FOLDER = Path("given")
OWN = {"library_name": "jepa_lightning", "class_path": "my.Class"}


@pytest.fixture(scope="module")
def held(ijepa: IJEPA) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The configuration of a module as JSON has it, and its weights."""
    return json.loads(json.dumps(own_config(ijepa))), ijepa.state_dict()


def read(held: Any, cls: Any = IJEPA, given: Any = None, content: Any = None, **changes: Any) -> Any:
    config, state = held
    options = {**config["options"], **changes.pop("options", {})}
    return read_own(cls, FOLDER, {**config, "options": options, **changes}, content or state, given or {})


def test_a_configuration_is_plain_data(held: Any, ijepa: IJEPA) -> None:
    config, _ = held
    assert is_own(config)
    assert config["class_path"] == "jepa_lightning.modules.ijepa.IJEPA"
    module, report = read(held)
    assert type(module) is IJEPA
    assert module.hparams == ijepa.hparams
    assert sorted(report.loaded) == sorted(ijepa.state_dict())
    assert all(torch.equal(value, ijepa.state_dict()[name]) for name, value in module.state_dict().items())
    assert not any(parameter.is_meta for parameter in module.parameters())


@pytest.mark.parametrize(
    "config",
    [{}, {"library_name": "jepa_lightning"}, {"class_path": "a.B"}, {"library_name": "timm", "class_path": "a.B"},
     {"library_name": "jepa_lightning", "class_path": None}, {"library_name": ["jepa_lightning"], "class_path": "a.B"}],
)  # fmt: skip
def test_other_configurations(config: dict[str, Any]) -> None:
    assert not is_own(config)


def test_an_encoder_whose_arguments_are_not_known() -> None:
    encoder = VisionTransformer(image_size=32, patch_size=8, width=24, depth=1, heads=3)
    module = IJEPA(encoder=encoder, image_size=32, predictor_depth=1, predictor_dim=24, predictor_heads=3, min_keep=2)
    if (module.hparams["encoder"] or {}).get("init_args") is not None:
        module.hparams["encoder"] = {"class_path": "a.B", "init_args": None}
    with pytest.raises(
        ValueError, match=r"the arguments of the encoder .* are not known, so it could not be built again"
    ):
        own_config(module)


@pytest.mark.parametrize(
    "files",
    [{}, {"notes": "mine"}, {"config.json": json.dumps(UNFINISHED)}, {"config.json": json.dumps(OWN)},
     {"config.json": json.dumps(OWN), "model.safetensors": ""}],
)  # fmt: skip
def test_a_folder_of_this_package_can_be_saved_to_again(files: dict[str, str], tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    check_origin(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_link_to_nothing_is_somebodys_too(name: str, tmp_path: Path) -> None:
    (tmp_path / name).symlink_to(tmp_path / "moved")
    with pytest.raises(ValueError, match=rf"holds a {name} that save_pretrained has not written, and it is left"):
        check_origin(tmp_path)


def test_weights_are_one_file(ijepa: IJEPA, tmp_path: Path) -> None:
    write_own_weights(ijepa, tmp_path)
    found = load_file(tmp_path / "model.safetensors")
    assert found.keys() == ijepa.state_dict().keys()


def test_options_that_are_given_come_first(held: Any) -> None:
    module, report = read(held, given={"image_size": 64, "lr": 0.5, "start_from": "none"})
    assert (module.image_size, module.lr, module.hparams["start_from"]) == ((64, 64), 0.5, "none")
    tables = {"context_encoder.pos_embed", "target_encoder.pos_embed", "predictor.predictor_pos_embed"}
    assert report.reshaped == dict.fromkeys(tables, "computed for this size")
    assert module.context_encoder.pos_embed.shape == (1, 64, 48)


def test_a_class_that_cannot_be_imported_is_replaced_by_a_given_one(held: Any) -> None:
    flight = {"class_path": "antigravity.Flight", "init_args": {}}
    module, _ = read(held, options={"encoder": flight}, given={"encoder": held[0]["options"]["encoder"]})
    assert type(module.context_encoder) is VisionTransformer


def test_weights_are_those_of_the_folder_alone(held: Any) -> None:
    """A run that has started from other weights does not read them again."""
    module, _ = read(held, options={"start_from": "there/is/none.ckpt"})
    assert module.hparams["start_from"] is None
    module, _ = read(held, options={"pretrained": True})  # nor are timm's fetched again
    assert module.hparams["pretrained"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (None, "has no options of a module"),
        ([], "has no options of a module"),
        ({"a b": 1}, "has no options of a module"),
        ({"self": 1}, "cannot use given: IJEPA.__init__"),
        ({"surprise": 1}, "cannot use given: .*surprise"),
        ({"image_size": "x"}, "image_size"),
        ({"depth": 10**400}, "depth=10+ is out of range"),
        ({"lr": float("inf")}, "lr=inf is out of range"),
        ({"ema": "x"}, "ema=x is out of range: give two numbers"),
        ({"ema": {}}, "ema=.* is out of range: give two numbers"),
        ({"ema": [0.9, 1.0, 1.0]}, "ema=.* is out of range: give two numbers"),
        ({"mean": [0.5]}, "mean has 1 numbers and in_channels is 3"),
        ({"encoder": {"class_path": "antigravity.Flight", "init_args": {}}}, "names the class antigravity.Flight"),
    ],
)
def test_options_that_are_damaged_are_one_line(options: Any, said: str, held: Any) -> None:
    config, state = held
    whole = {**config["options"], **options} if isinstance(options, dict) else options
    with pytest.raises(ValueError, match=said) as error:
        read_own(IJEPA, FOLDER, {**config, "options": whole}, state, {})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.pop("predictor.mask_token"), r"it lacks predictor\.mask_token"),
        (lambda state: state.update(more=torch.ones(1)), "it has, beyond what the network takes, more"),
        (lambda state: state.update({"predictor.mask_token": torch.ones(1)}), "has in another shape"),
        (lambda state: state.update({"predictor.mask_token": torch.full((1, 1, 24), torch.nan)}), "24 values of pred"),
        (lambda state: state.update({"predictor.mask_token": 3}), "is not a tensor"),
        (lambda state: state.clear(), "holds no weights"),
    ],
)
def test_weights_that_do_not_fit(change: Any, said: str, held: Any) -> None:
    config, state = held
    change(state := dict(state))
    with pytest.raises(ValueError, match=said) as error:
        read_own(IJEPA, FOLDER, config, state, {})
    assert "given" in str(error.value)


def test_half_precision_takes_the_type_of_the_module(held: Any) -> None:
    content = {name: value.bfloat16() for name, value in held[1].items()}
    module, _ = read(held, content=content)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}


class Mine(IJEPA):
    """A class that is imported, of which folders can be."""


@pytest.mark.parametrize(
    ("cls", "path", "found"),
    [
        (IJEPA, f"{__name__}.Mine", Mine),
        (JEPAModule, f"{__name__}.Mine", Mine),
        (Mine, "jepa_lightning.modules.ijepa.IJEPA", Mine),
        (IJEPA, "not.imported.Class", IJEPA),
        (IJEPA, "jepa_lightning.modules.ijepa.Nothing", IJEPA),
        (IJEPA, "os.path", IJEPA),
        (IJEPA, "", IJEPA),
    ],
)
def test_the_class_is_the_one_that_is_imported(cls: Any, path: str, found: Any) -> None:
    assert class_of(cls, path, FOLDER) is found


@pytest.mark.parametrize(
    ("cls", "path", "said"),
    [
        (
            VJEPA,
            f"{SimCLR.__module__}.SimCLR",
            r"is a checkpoint of .*SimCLR, not of .*VJEPA: load it as SimCLR",
        ),
        (IJEPA, "torch.nn.Linear", r"is a checkpoint of torch\.nn\.Linear, not of .*IJEPA: load it as Linear"),
        (JEPAModule, "not.imported.Class", r"given is of the class not\.imported\.Class, which is not imported"),
        (JEPAModule, "", "which is not imported: import it first"),
    ],
)
def test_a_class_that_cannot_be(cls: Any, path: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        class_of(cls, path, FOLDER)


def test_weights_that_are_not_finite_are_not_saved(ijepa: IJEPA, tmp_path: Path) -> None:
    module = IJEPA(**dict(ijepa.hparams))
    with torch.no_grad():
        module.predictor.mask_token.fill_(torch.inf)
    with pytest.raises(ValueError, match=r"24 values of predictor\.mask_token are not finite"):
        module.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_no_module_is_imported_for_a_folder(ijepa: IJEPA, tmp_path: Path) -> None:
    ijepa.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["options"]["encoder"] = {"class_path": "antigravity.Flight", "init_args": {}}
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"names the class antigravity\.Flight .* import antigravity"):
        IJEPA.from_pretrained(tmp_path / "model")
