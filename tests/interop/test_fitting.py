from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning.interop.fitting import NotLikeError, check_all, fit_, take_norm_eps_
from jepa_lightning.interop.reference_file import Reference
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.nn import VisionTransformer, sincos_pos_embed


def network(**options: Any) -> VisionTransformer:
    torch.manual_seed(0)
    return VisionTransformer(16, 8, 12, 1, 2, **options)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value + 0.5 * (name != "pos_embed") for name, value in module.state_dict().items()}


def fitted(state: dict[str, Tensor], family: str = "ijepa", copy: bool = False, **options: Any) -> Any:
    found, report = network(**options), LoadReport("a.pt", "encoder")
    fit_(found, state, report, Reference("a.pt", Path("a.pt"), family), "encoder", copy)
    return found, report


@pytest.mark.parametrize("copy", [True, False])
def test_every_tensor_is_taken_and_shared_unless_a_copy_is_asked_for(copy: bool) -> None:
    state = state_of(network())
    found, report = fitted(state, copy=copy)
    for name, value in found.state_dict().items():
        assert torch.equal(value, state[name])
        assert (value.data_ptr() == state[name].data_ptr()) is not copy
    assert sorted(report.loaded) == sorted(state)
    assert not report.skipped


def test_a_table_that_rotary_positions_leave_is_said() -> None:
    state = {**state_of(network(rope="vjepa2")), "pos_embed": torch.zeros(1, 4, 12)}
    before = dict(state)
    _, report = fitted(state, "vjepa2", rope="vjepa2")
    assert [*report.skipped] == ["pos_embed"]
    assert "pos_embed" not in report.loaded
    assert state.keys() == before.keys()  # what is given stays


def test_a_table_of_another_grid_is_that_of_this_grid() -> None:
    state = {**state_of(network()), "pos_embed": sincos_pos_embed(12, (4, 4))[None]}
    found, report = fitted(state)
    torch.testing.assert_close(found.pos_embed[0], sincos_pos_embed(12, (2, 2)))
    assert [*report.reshaped] == ["pos_embed"]
    with pytest.raises(ValueError, match="its position table has 5 tokens, which are not a square grid"):
        fitted({**state, "pos_embed": torch.zeros(1, 5, 12)})


@pytest.mark.parametrize(
    ("size", "tokens", "grid"),
    [((16, 24), 6, "2x3"), ((8, 32), 4, "1x4"), (32, 16, "4x4"), ((16, 24), 16, "4x4"), (None, 16, "4x4")],
)
def test_the_grid_of_a_table_is_that_of_the_size_that_the_file_says(size: Any, tokens: int, grid: str) -> None:
    """A size that its table does not have says nothing."""
    table = torch.randn(1, tokens, 12, generator=torch.Generator().manual_seed(0))
    report = LoadReport("a.pt", "encoder")
    state = {**state_of(network()), "pos_embed": table}
    reference = Reference("a.pt", Path("a.pt"), "ijepa", {"encoder": state}, image_size=size)
    found = network()
    fit_(found, state, report, reference, "encoder")
    assert report.reshaped == {"pos_embed": f"interpolated for the grid 2x2, that of the file is for {grid}"}
    assert not torch.equal(found.pos_embed, table)


def test_the_norm_of_the_last_level_is_the_one_norm() -> None:
    state = state_of(network())
    last = {name: state.pop(f"norm.{name}") for name in ("weight", "bias")}
    for level in (0, 2, 10):  # as numbers, not as text
        state |= {f"norms_block.{level}.{name}": value + (level != 10) for name, value in last.items()}
    found, report = fitted(state)
    assert torch.equal(found.norm.weight, last["weight"])
    assert torch.equal(found.norm.bias, last["bias"])
    assert sorted(report.skipped) == [f"norms_block.{i}.{name}" for i in (0, 2) for name in ("bias", "weight")]


def test_values_that_are_not_finite_are_refused() -> None:
    state = state_of(network())
    state["norm.bias"][1] = torch.inf
    with pytest.raises(ValueError, match=r"a\.pt: 1 values of norm\.bias are not finite"):
        fitted(state)


def test_all_faults_of_a_file_are_in_one_line() -> None:
    layer = nn.Linear(3, 2)
    check_all(layer, layer.state_dict(), LoadReport("x"), "x")
    with pytest.raises(ValueError, match=r"^x does not fit: it lacks weight, bias\.$"):
        check_all(layer, {}, LoadReport("x"), "x")
    more = {name: torch.ones(1) for name in "abcde"}
    with pytest.raises(ValueError, match="x") as said:
        check_all(layer, {"weight": torch.ones(2, 4), **more}, LoadReport("x", "encoder"), "x")
    assert str(said.value) == (
        "x (encoder) does not fit: it lacks bias; it has, beyond what the network takes, a, b, c and 2 more; it has in "
        "another shape weight [2, 4] for [2, 3]."
    )


class Norms:
    norm_eps = 1e-6

    def take_norm_eps(self, eps: float) -> None:
        if eps > 1:
            raise ValueError("norm_eps was given")
        self.norm_eps = eps


def test_the_eps_of_norms_is_taken_where_it_is_another() -> None:
    module, report = Norms(), LoadReport("x")
    take_norm_eps_(module, 1e-6, report)
    take_norm_eps_(object(), 1e-5, report)
    assert report.notes == []
    take_norm_eps_(module, 1e-5, report)
    assert module.norm_eps == 1e-5
    assert report.notes == ["norms have eps=1e-05 as there"]
    with pytest.raises(NotLikeError, match=r"^x: norm_eps was given$"):
        take_norm_eps_(module, 2.0, report)
