"""What a file of the reference holds: entries by name, and tensors that tell the form of a network."""

from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.interop.reference_file import AXES, Reference

STATE = {"a": torch.ones(1)}
FORM = {
    "patch_embed.proj.weight": (4, 5),  # of images, and of clips
    "blocks.0.mlp.fc1.weight": (2,),
    "pos_embed": (3,),
    "predictor_pos_embed": (3,),
    "predictor_embed.weight": (2,),
    "predictor_embed.0.weight": (2,),
    "predictor_embed.2.weight": (2,),
    "predictor_proj.weight": (2,),
}


def reference(*names: str, **others: Any) -> Reference:
    return Reference("a.pt", Path("a.pt"), "ijepa", {name: dict(STATE) for name in names}, **others)


@pytest.mark.parametrize(
    ("names", "which", "found"),
    [
        (("encoder", "target_encoder"), "encoder", "encoder"),
        (("encoder", "target_encoder"), "target_encoder", "target_encoder"),
        (("encoder", "ema_encoder"), "target_encoder", "ema_encoder"),
        (("target_encoder", "ema_encoder"), "target_encoder", "target_encoder"),
        (("encoder", "predictor"), "predictor", "predictor"),
    ],
)
def test_an_entry_goes_by_its_names(names: tuple[str, ...], which: str, found: str) -> None:
    held = reference(*names)
    name, state = held.entry(which)
    assert name == found
    assert state is held.networks[found]


def test_one_encoder_that_says_nothing_is_the_target_too() -> None:
    assert reference("encoder", alone=True).entry("target_encoder")[0] == "encoder"
    with pytest.raises(ValueError, match=r"^a\.pt has no target_encoder: it has encoder\. Give which='encoder', or"):
        reference("encoder").entry("target_encoder")
    with pytest.raises(ValueError, match=r"has no predictor"):
        reference("encoder", alone=True).entry("predictor")


def test_a_missing_entry_names_those_that_there_are() -> None:
    held = reference("encoder", "predictor", probes=[STATE])
    with pytest.raises(
        ValueError, match=r"has no target_encoder: it has encoder and predictor and probe\. Give which="
    ):
        held.entry("target_encoder")


@pytest.mark.parametrize("name", FORM)
def test_a_tensor_that_tells_the_form_has_its_axes(name: str) -> None:
    assert AXES.keys() == FORM.keys()
    for axes in range(6):
        held = reference("encoder")
        held.networks["encoder"][name] = torch.ones((1,) * axes)
        if axes in FORM[name]:
            assert held.checked() is held
            continue
        with pytest.raises(ValueError, match=rf"^cannot use a\.pt: {name} of its encoder has the shape \[.*\]\.$"):
            held.checked()


def test_other_tensors_are_not_judged_and_each_network_is() -> None:
    held = reference("encoder", "predictor")
    held.networks["encoder"]["norm.weight"] = torch.tensor(1.0)
    assert held.checked() is held
    held.networks["predictor"]["predictor_embed.weight"] = torch.tensor(1.0)
    with pytest.raises(ValueError, match=r"predictor_embed\.weight of its predictor has the shape \[\]"):
        held.checked()


def test_files_do_not_share_what_they_hold() -> None:
    first, second = (Reference("a.pt", Path("a.pt"), "ijepa") for _ in range(2))
    first.networks["encoder"], first.loop["epoch"], first.skipped["a"] = dict(STATE), 1, "b"
    first.probes.append(STATE)
    assert (second.networks, second.loop, second.skipped, second.probes) == ({}, {}, {}, [])
