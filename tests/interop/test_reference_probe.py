"""Attentive probes that were published beside the encoders."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning.interop import load_reference
from jepa_lightning.interop.reference_file import Reference
from jepa_lightning.interop.reference_probe import probe_network
from jepa_lightning.nn import AttentiveClassifier

UNUSED = "pooler.cross_attention_block.xattn.proj.weight"


def held(*probes: dict[str, Tensor], family: str = "vjepa2", **others: Any) -> Reference:
    return Reference("a.pt", Path("a.pt"), family, probes=list(probes), **others)


def weights(width: int = 48, classes: int = 5, depth: int = 2, generation: Any = 2) -> dict[str, Tensor]:
    torch.manual_seed(0)
    return AttentiveClassifier(width, classes, depth, 3, generation).state_dict()


def test_size_and_number_of_classes_are_those_of_the_tensors() -> None:
    state = weights(depth=3, classes=7)
    network, report = probe_network(held(state), 0, 4)
    assert (network.linear.out_features, len(network.pooler.blocks)) == (7, 2)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert (report.entry, sorted(report.loaded), report.skipped) == ("probe", sorted(state), {})


@pytest.mark.parametrize(("family", "generation"), [("vjepa", 1), ("vjepa2", 2), ("vjepa2_1", 2)])
def test_the_generation_is_that_of_the_family(family: str, generation: int) -> None:
    network, _ = probe_network(held(weights(depth=1, generation=generation), family=family), 0, 3)
    assert network.pooler.generation == generation


def test_what_the_reference_never_applies_is_skipped_and_said() -> None:
    _, report = probe_network(held({**weights(), UNUSED: torch.ones(48, 48)}), 0, 3)
    assert report.skipped == {UNUSED: "the reference never applies it"}
    assert UNUSED not in report.loaded


def test_one_of_several_probes() -> None:
    states = [{name: value + number for name, value in weights().items()} for number in range(3)]
    network, report = probe_network(held(*states), 1, 3)
    assert torch.equal(network.linear.bias, states[1]["linear.bias"])
    assert report.entry == "probe 1 of 3"


@pytest.mark.parametrize("number", [-1, 2, 10**9])
def test_a_probe_that_there_is_not(number: int) -> None:
    with pytest.raises(ValueError, match=rf"^a\.pt has 2 probes, and probe is {number}: count from 0\.$"):
        probe_network(held(weights(), weights()), number, 3)


def test_a_file_without_probes() -> None:
    reference = Reference("a.pt", Path("a.pt"), "vjepa2", {"encoder": {}})
    with pytest.raises(ValueError, match=r"a\.pt has no probe: it has encoder"):
        probe_network(reference, 0, 3)


def test_heads_are_given_or_known() -> None:
    network, _ = probe_network(held(weights(384)), 0, None)
    assert network.pooler.xattn.heads == 6
    network, _ = probe_network(held(weights(), heads=4), 0, None)  # the file's
    assert network.pooler.xattn.heads == 4
    for heads in (None, 0):
        with pytest.raises(ValueError, match=r"heads of a probe of width 48 is not known: give heads"):
            probe_network(held(weights()), 0, heads)


def test_the_eps_is_that_of_folders_or_that_of_torch() -> None:
    assert probe_network(held(weights(), heads=3, eps=0.1), 0, None)[0].pooler.norm1.eps == 0.1
    assert probe_network(held(weights(), eps=0.1), 0, 3)[0].pooler.norm1.eps == 1e-5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pooler.query_tokens": None}, r"has no pooler\.query_tokens or linear\.weight of a probe"),
        ({"linear.weight": None}, r"has no pooler\.query_tokens or linear\.weight of a probe"),
        ({"pooler.query_tokens": torch.tensor(1.0)}, "or linear"),
        ({"linear.weight": torch.ones(5)}, "or linear"),
        ({"linear.bias": None}, r"it lacks linear\.bias"),
        ({"more": torch.ones(1)}, "it has, beyond what the network takes, more"),
        ({"pooler.norm1.bias": torch.ones(3)}, r"pooler\.norm1\.bias \[3\] for \[48\]"),
        ({"linear.bias": torch.full((5,), torch.nan)}, r"5 values of linear\.bias are not finite"),
    ],
)
def test_a_probe_that_is_damaged(changes: dict[str, Any], said: str) -> None:
    state = {name: value for name, value in {**weights(), **changes}.items() if value is not None}
    with pytest.raises(ValueError, match=said) as error:
        probe_network(held(state), 0, 3)
    assert "\n" not in str(error.value)


@torch.no_grad()
@pytest.mark.parametrize("generation", [1, 2])
def test_a_probe_without_the_layer_that_is_never_applied(generation: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    probe = AttentiveClassifier(48, 5, depth=1 if generation == 1 else 4, heads=3, generation=generation).eval()
    for parameter in probe.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    state = {}
    for name, value in probe.state_dict().items():
        inner = name.removeprefix("pooler.")
        of_cross = name.startswith("pooler.") and not inner.startswith(("blocks.", "query_tokens"))
        state["module." + (f"pooler.cross_attention_block.{inner}" if of_cross else name)] = value
    if generation == 1:
        state["module.pooler.cross_attention_block.xattn.proj.weight"] = torch.ones(48, 48)
        content: dict[str, Any] = {"classifier": state, "opt": {}, "epoch": 20}
    else:
        content = {"classifiers": [{name: value + 1 for name, value in state.items()}, state], "epoch": 20}
    torch.save(content, tmp_path / "probe.pt")
    network, report = load_reference(tmp_path / "probe.pt", "probe", heads=3, probe=generation - 1)
    tokens = torch.randn(2, 16, 48)
    assert torch.equal(network(tokens), probe(tokens))
    assert len(report.skipped) == (generation == 1)
