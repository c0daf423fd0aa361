"""Tables of positions and mask tokens of a file, for a network of another grid or with other kinds of masks."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.interop.positions import fit_table, take_mask_tokens
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.nn import sincos_pos_embed

WIDTH = 8
SQUARE, WIDE, CLIP = (2, 2), (2, 4), (2, 2, 2)


def compute(grid: tuple[int, ...]) -> Tensor:
    return sincos_pos_embed(WIDTH, grid)


def fitted(table: Tensor, there: tuple[int, ...], here: tuple[int, ...]) -> tuple[Tensor, LoadReport]:
    report = LoadReport("a.pt")
    return fit_table("pos_embed", table, compute(here)[None], (there, here), compute, report), report


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_table_that_is_computed_is_computed_for_the_grid_at_hand(dtype: torch.dtype) -> None:
    """Half precision rounds it by more than the reference's own tables differ from ours."""
    found, report = fitted(compute(SQUARE)[None].to(dtype), SQUARE, WIDE)
    assert torch.equal(found, compute(WIDE)[None])
    assert report.reshaped == {"pos_embed": "sin-cos, computed for the grid 2x4, that of the file is for 2x2"}
    assert not report.notes
    same, report = fitted(compute(SQUARE)[None].to(dtype), SQUARE, SQUARE)
    assert torch.equal(same, compute(SQUARE)[None].to(dtype))
    assert not report.reshaped
    assert not report.notes


def test_a_learned_table_of_the_same_grid_stays_and_is_said() -> None:
    table = compute(SQUARE)[None] + 0.5
    found, report = fitted(table, SQUARE, SQUARE)
    assert torch.equal(found, table)
    assert report.notes == ["pos_embed is up to 0.5 from the sin-cos table: that of the file is used"]


def test_a_learned_table_of_images_is_interpolated_row_by_row() -> None:
    rows = torch.tensor([0.0, 0.0, 4.0, 4.0])[:, None].expand(4, WIDTH)[None]
    found, report = fitted(rows, SQUARE, WIDE)
    across = found.reshape(2, 4, WIDTH)
    torch.testing.assert_close(across, across[:, :1].expand(2, 4, WIDTH))  # the same in all columns
    torch.testing.assert_close(across[:, 0, 0], torch.tensor([0.0, 4.0]))
    assert report.reshaped["pos_embed"].startswith("interpolated for the grid 2x4")


def test_a_learned_table_of_as_many_tokens_on_another_grid_is_interpolated() -> None:
    table = torch.randn(1, 16, WIDTH, generator=torch.Generator().manual_seed(0))
    found, report = fitted(table, (2, 8), (4, 4))
    assert found.shape == table.shape
    assert not torch.allclose(found, table)
    assert "2x8" in report.reshaped["pos_embed"]


def test_a_learned_table_of_clips_is_interpolated_in_time_too() -> None:
    table = torch.randn(1, 8, WIDTH, generator=torch.Generator().manual_seed(0))
    here = (4, 2, 2)
    found, _ = fitted(table, CLIP, here)
    volume = table.reshape(*CLIP, WIDTH).permute(3, 0, 1, 2)
    slow = torch.stack([F.interpolate(one[None, None], here, mode="trilinear")[0, 0] for one in volume])
    torch.testing.assert_close(found[0], slow.permute(1, 2, 3, 0).reshape(16, WIDTH))


@pytest.mark.parametrize("shape", [(2, 4, WIDTH), (0, 4, WIDTH), (1, 0, WIDTH), (1, 4, 0), (4, WIDTH)])
@pytest.mark.parametrize("here", [SQUARE, WIDE])
def test_a_table_of_another_form_is_refused(shape: tuple[int, ...], here: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"a\.pt does not fit: its pos_embed has the shape \["):
        fitted(torch.zeros(shape), SQUARE, here)


def test_a_table_of_integers_is_a_learned_one() -> None:
    _, report = fitted(torch.ones(1, 4, WIDTH, dtype=torch.int32), SQUARE, WIDE)
    assert report.reshaped["pos_embed"].startswith("interpolated")


def tokens(**values: float) -> dict[str, Tensor]:
    return {f"mask_tokens.{name.removeprefix('t')}": torch.full((1, 1, 2), value) for name, value in values.items()}


def taken(state: dict[str, Tensor], wanted: int) -> LoadReport:
    report = LoadReport("a.pt")
    take_mask_tokens(state, wanted, report)
    return report


def test_as_many_mask_tokens_as_kinds_are_taken_as_they_are() -> None:
    state = tokens(t0=1.0, t1=0.0)
    report = taken(state, 2)
    assert float(state["mask_tokens.1"].sum()) == 0.0
    assert not report.reshaped


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float8_e4m3fn])
def test_tokens_that_were_never_trained_become_the_first(dtype: torch.dtype) -> None:
    state = {name: value.to(dtype) for name, value in tokens(t0=3.0, t1=0.0, t2=5.0, t10=0.0).items()}
    report = taken(state, 3)
    assert sorted(state) == ["mask_tokens.0", "mask_tokens.1", "mask_tokens.2"]
    assert [float(state[name].float().mean()) for name in sorted(state)] == [3.0, 3.0, 5.0]
    assert report.reshaped == {"mask_tokens.1": "mask_tokens.0, since it is 0 in the file, as it started"}
    assert report.skipped == {"predictor.mask_tokens.10": "there are 3 kinds of masks"}
    assert state["mask_tokens.1"].data_ptr() != state["mask_tokens.0"].data_ptr()


def test_tokens_that_are_not_in_the_file_become_the_first() -> None:
    state = tokens(t0=3.0)
    report = taken(state, 2)
    assert torch.equal(state["mask_tokens.1"], state["mask_tokens.0"])
    assert report.reshaped == {"mask_tokens.1": "mask_tokens.0, since it is not in the file"}


@pytest.mark.parametrize("state", [{}, tokens(t1=1.0, t2=1.0, t3=1.0), tokens(t00=1.0)])
def test_a_predictor_without_the_first_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^a\.pt lacks mask_tokens\.0\.$"):
        taken(dict(state), 2)


@pytest.mark.parametrize("name", ["mask_tokens.x", "mask_tokens.0.weight", "mask_tokens.1_0", "mask_tokens.-1"])
def test_names_that_are_no_numbers_are_left_to_what_compares_names(name: str) -> None:
    state = {**tokens(t0=1.0), name: torch.ones(1)}
    taken(state, 2)
    assert sorted(state) == sorted(["mask_tokens.0", "mask_tokens.1", name])
