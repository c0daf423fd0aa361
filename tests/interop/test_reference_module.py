"""Modules of files of the reference: what a file says, what it lacks, and of which class it is."""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning import IJEPA, VJEPA, JEPAModule, SimCLR
from jepa_lightning.interop.reference_file import Reference
from jepa_lightning.interop.reference_module import (
    check_kind,
    load_networks_,
    module_of,
    predictor_for,
    reference_options,
)
from jepa_lightning.interop.report import LoadReport

PREDICTOR = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "min_keep": 2}


@pytest.fixture
def held(ijepa: IJEPA) -> Callable[..., Reference]:
    """The networks of a module in the form of a file."""

    def build(*names: str, module: Any = ijepa, family: str = "ijepa", **others: Any) -> Reference:
        parts = {"encoder": "context_encoder", "ema_encoder": "target_encoder"}
        networks = {name: dict(getattr(module, parts.get(name, name)).state_dict()) for name in names}
        return Reference("a.pt", Path("a.pt"), family, networks, **{"heads": 3, **others})

    return build


def same(network: nn.Module, state: dict[str, Tensor]) -> bool:
    own = network.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[name], value) for name, value in state.items())


@pytest.mark.parametrize(
    ("names", "context", "target"),
    [
        (("encoder", "target_encoder", "predictor"), "encoder", "target_encoder"),
        (("encoder", "ema_encoder"), "encoder", "ema_encoder"),
        (("encoder",), "encoder", "encoder"),
        (("target_encoder",), "target_encoder", "target_encoder"),
        (("ema_encoder",), "ema_encoder", "ema_encoder"),
    ],
)
def test_each_encoder_starts_from_what_the_file_has(
    names: tuple[str, ...], context: str, target: str, held: Callable[..., Reference]
) -> None:
    reference = held(*names)
    module, report = module_of(IJEPA, reference, PREDICTOR)
    assert same(module.context_encoder, reference.networks[context])
    assert same(module.target_encoder, reference.networks[target])
    assert not any(parameter.is_meta for parameter in module.parameters())
    shared = {value.data_ptr() for value in module.context_encoder.parameters()}
    assert shared.isdisjoint(value.data_ptr() for value in module.target_encoder.parameters())
    others = (("context_encoder", context, context != "encoder"), ("target_encoder", target, context == target))
    notes = [f"{ours} starts as {theirs}, since the file has no other" for ours, theirs, said in others if said]
    if "predictor" not in names:
        notes.append("the predictor starts anew, since the file has none for this module")
    assert report.notes == notes


@pytest.mark.parametrize(("names", "has"), [(("predictor",), "predictor"), ((), "probe")])
def test_a_file_without_an_encoder_is_one_line(
    names: tuple[str, ...], has: str, ijepa: IJEPA, held: Callable[..., Reference]
) -> None:
    reference = held(*names, probes=[] if names else [{"linear.weight": torch.ones(1)}])
    said = rf"^a\.pt has no encoder: it has {has}\. Give another file\.$"
    with pytest.raises(ValueError, match=said):
        module_of(IJEPA, reference, {})
    with pytest.raises(ValueError, match=said):
        load_networks_(ijepa, reference, LoadReport("a.pt"))


class WithMore(IJEPA):
    """Has a network that no file of the reference has."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.more = nn.Linear(2, 2)


class Unfinished(IJEPA):
    """Cannot be built."""

    @abstractmethod
    def more(self) -> None:
        """What a subclass has to write."""


def test_networks_of_a_subclass_start_anew(held: Callable[..., Reference]) -> None:
    reference = held("encoder", "target_encoder", "predictor")
    module, report = module_of(WithMore, reference, PREDICTOR)
    assert not module.more.weight.is_meta
    assert module.more.weight.isfinite().all()
    assert float(module.more.weight.std()) > 0
    assert report.notes == ["more starts anew"]
    assert same(module.target_encoder, reference.networks["target_encoder"])


def test_options_are_those_of_the_tensors_and_what_is_given_comes_first(held: Callable[..., Reference]) -> None:
    reference = held("encoder", "predictor", heads=4, predictor_heads=6, eps=1e-12)
    report = LoadReport("a.pt")
    options = reference_options(reference, {"min_keep": 2}, report)
    assert (options["width"], options["depth"], options["heads"]) == (48, 2, 4)
    assert (options["predictor_depth"], options["predictor_dim"], options["predictor_heads"]) == (1, 24, 6)
    assert (options["norm_eps"], options["image_size"], options["min_keep"]) == (1e-12, 32, 2)
    assert report.notes == ["norms have eps=1e-12 as in the file"]
    report = LoadReport("a.pt")
    given = {"norm_eps": 1e-5, "image_size": 64, "predictor_heads": 2, "heads": 4, "depth": 5}
    options = reference_options(reference, given, report)
    assert {name: options[name] for name in given} == given
    assert report.notes == []


def test_other_channels_are_those_of_the_patches(held: Callable[..., Reference]) -> None:
    reference = held("encoder")
    state = reference.networks["encoder"]
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :2]
    assert reference_options(reference, {}, LoadReport("a.pt"))["in_channels"] == 2


@pytest.mark.parametrize(
    ("family", "shapes", "has"),
    [
        ("vjepa2", {"predictor_embed.weight": (8, 48)}, True),
        ("vjepa2_ac", {"predictor_embed.weight": (8, 48)}, False),
        ("vjepa2_1", {"predictor_embed.weight": (8, 48), "predictor_proj.weight": (48, 8)}, True),
        ("vjepa2_1", {"predictor_embed.weight": (8, 48), "predictor_proj.weight": (64, 8)}, False),
        ("vjepa2_1", {"predictor_embed.0.weight": (48, 96), "predictor_proj.weight": (96, 8)}, True),
    ],
)
def test_a_predictor_is_taken_where_it_predicts_tokens_of_the_encoder(
    family: str, shapes: dict[str, tuple[int, ...]], has: bool
) -> None:
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    reference = Reference("a.pt", Path("a.pt"), family, {"predictor": state})
    assert (predictor_for(reference) is state) == has
    assert predictor_for(Reference("a.pt", Path("a.pt"), family)) is None


@pytest.mark.parametrize(
    ("family", "cls", "right"),
    [
        ("ijepa", IJEPA, None),
        ("vjepa2", VJEPA, None),
        ("ijepa", VJEPA, "IJEPA"),
        ("vjepa", IJEPA, "VJEPA"),
        ("ijepa", SimCLR, "IJEPA"),
        ("vjepa2", JEPAModule, "VJEPA"),
        ("ijepa", Unfinished, "IJEPA"),
    ],
)
def test_the_class_is_one_for_such_files(family: str, cls: type, right: str | None) -> None:
    reference = Reference("a.pt", Path("a.pt"), family)
    if right is None:
        check_kind(cls, reference)
        return
    said = rf"^a\.pt is a model of {family}: load it with {right}\.from_pretrained\.$"
    with pytest.raises(ValueError, match=said):
        check_kind(cls, reference)


def test_blocks_of_version_2_1_are_counted(vjepa2: VJEPA, held: Callable[..., Reference]) -> None:
    """A name that is no number of a block is refused as such, and one far away takes no memory."""
    reference = held("encoder", module=vjepa2, family="vjepa2_1", heads=3)
    for name in ("blocks.x.norm1.weight", "blocks.999999999.norm1.weight", "norms_block.x.weight"):
        other = Reference("a.pt", Path("a.pt"), "vjepa2_1", {"encoder": {**reference.networks["encoder"]}}, heads=3)
        other.networks["encoder"][name] = torch.ones(72)
        with pytest.raises(ValueError, match=rf"has, beyond what the network takes, {name}"):
            module_of(VJEPA, other, {"num_frames": 8, "image_size": 32, "levels": None, **PREDICTOR})
