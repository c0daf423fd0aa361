# N tokens, D width
"""Position tables of a file: checked against what is computed here, and fitted to another grid."""

from collections.abc import Callable
from typing import Any

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.interop.key_names import number_behind
from jepa_lightning.interop.report import LoadReport

CLOSE = 1e-4  # the reference's tables are of float64, rounded; those in half precision are rounded more


def fit_table(
    name: str,
    table: Tensor,
    own: Tensor,
    grids: tuple[tuple[int, ...], tuple[int, ...]],
    compute: Callable[[tuple[int, ...]], Tensor],
    report: LoadReport,
) -> Tensor:
    """A table of a file for the grid of a network.

    A sin-cos table is computed for this grid, as the reference does; one that was learned is interpolated.

    Args:
        name: of the table.
        table: ``[1, N, D]`` of the file.
        own: ``[1, N, D]`` of the network.
        grids: of the file and of the network.
        compute: a grid to its sin-cos table ``[N, D]``.
        report: gets what was done.

    Returns:
        ``[1, N, D]`` for the network.

    Raises:
        ValueError: if the table is no ``[1, N, D]``.
    """
    there, here = grids
    if table.ndim != 3 or len(table) != 1 or not table.numel():
        raise ValueError(f"{report.source} does not fit: its {name} has the shape {list(table.shape)}.")
    apart = float((table.float()[0] - compute(there)).abs().max())
    sincos = apart <= (max(CLOSE, torch.finfo(table.dtype).eps) if table.is_floating_point() else CLOSE)
    if there == here:
        if not sincos:
            report.notes.append(f"{name} is up to {apart:.2g} from the sin-cos table: that of the file is used")
        return table
    between = f"for the grid {_times(here)}, that of the file is for {_times(there)}"
    if sincos:
        report.reshaped[name] = f"sin-cos, computed {between}"
        return own
    report.reshaped[name] = f"interpolated {between}"
    if len(here) == 2:
        resampled: Any = resample_abs_pos_embed(
            table.float(), list(here), list(there), num_prefix_tokens=0, antialias=False
        )
        found: Tensor = resampled
        return found
    volume = table.float().transpose(1, 2).reshape(1, table.shape[-1], *there)
    return F.interpolate(volume, size=here, mode="trilinear").flatten(2).transpose(1, 2)


def take_mask_tokens(state: dict[str, Tensor], wanted: int, report: LoadReport) -> None:
    """Gives a predictor as many mask tokens as it has kinds of masks, in place.

    The reference has numbered mask tokens by the number of frames rather than by the kind of mask, so that in most of
    its files all but the first are 0 as they started: where the numbers differ, the first one takes their place.

    Args:
        state: of a predictor, with ``mask_tokens.0`` and so on.
        wanted: number of kinds.
        report: gets what was done.

    Raises:
        ValueError: if there is no first one.
    """
    numbers = {number for name in state if (number := number_behind("mask_tokens.", name)) is not None}
    given = {number: f"mask_tokens.{number}" for number in numbers if f"mask_tokens.{number}" in state}
    if len(given) == wanted:
        return
    if 0 not in given:
        raise ValueError(f"{report.source} lacks mask_tokens.0.")
    first = state[given[0]]
    for kind in range(wanted):
        name = f"mask_tokens.{kind}"
        if kind not in given or not torch.any(state[name]):
            why = "not in the file" if kind not in given else "0 in the file, as it started"
            state[name] = first.clone()
            if kind:
                report.reshaped[name] = f"mask_tokens.0, since it is {why}"
    for kind in sorted(given):
        if kind >= wanted:
            del state[given[kind]]
            report.skipped[f"predictor.{given[kind]}"] = f"there are {wanted} kinds of masks"


def _times(grid: tuple[int, ...]) -> str:
    return "x".join(map(str, grid))
