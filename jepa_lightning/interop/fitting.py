"""Tensors of a file into a network, each of them accounted for."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from jepa_lightning.interop.architecture import PATCHES, ROTARY, grid_of_table
from jepa_lightning.interop.empty import fill_
from jepa_lightning.interop.key_names import number_behind
from jepa_lightning.interop.positions import fit_table, take_mask_tokens
from jepa_lightning.interop.reading import check_finite
from jepa_lightning.interop.reference_file import Reference
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.nn.pos_embed import sincos_pos_embed

TABLES = {"encoder": "pos_embed", "predictor": "predictor_pos_embed"}
SHOWN = 3


class NotLikeError(ValueError):
    """The weights are of another module than the one that was built."""


def fit_(
    network: Any,
    state: Mapping[str, Tensor],
    report: LoadReport,
    reference: Reference,
    kind: str,
    copy: bool = False,
) -> None:
    """Loads an encoder or a predictor, with its position table fitted to the network's grid.

    Args:
        network: a ``VisionTransformer`` or a ``Predictor``.
        state: of the file, under the names of the reference.
        report: gets what was loaded, skipped and reshaped.
        reference: the file.
        kind: ``encoder`` or ``predictor``.
        copy: take copies of the tensors, where another network has them too.

    Raises:
        ValueError: if a tensor is missing, has no counterpart, has another shape or is not finite.
    """
    state, table, family = dict(state), TABLES[kind], reference.family
    if table in state and (family in ROTARY or table not in network.state_dict()):
        del state[table]
        report.skipped[table] = "positions are rotary, the reference has left it in its files"
    elif table in state:
        own = network.state_dict()[table]
        state[table] = _fit(table, state[table], own, reference, network, report)
    if not hasattr(network, "norms_block"):
        _last_norm(state, report)
    if kind == "predictor" and hasattr(network, "mask_tokens"):
        take_mask_tokens(state, len(network.mask_tokens), report)
    check_all(network, state, report, report.source)
    check_finite(state, report.source)
    fill_(network, {name: value.clone() for name, value in state.items()} if copy else state)
    report.loaded += list(state)


def check_all(network: nn.Module, state: Mapping[str, Tensor], report: LoadReport, source: Any) -> None:
    """Refuses tensors that are missing, have no counterpart, or have another shape.

    Raises:
        ValueError: with their names.
    """
    own = network.state_dict()
    faults = {
        "lacks": [name for name in own if name not in state],
        "has, beyond what the network takes,": [name for name in state if name not in own],
        "has in another shape": [
            f"{name} {list(state[name].shape)} for {list(own[name].shape)}"
            for name in state
            if name in own and state[name].shape != own[name].shape
        ],
    }
    said = [f"{what} {_few(names)}" for what, names in faults.items() if names]
    if said:
        entry = f" ({report.entry})" if report.entry else ""
        raise ValueError(f"{source}{entry} does not fit: it {'; it '.join(said)}.")


def take_norm_eps_(module: Any, eps: float, report: LoadReport) -> None:
    """Has a module that says the eps of its norms take that of the weights.

    Args:
        module: with ``take_norm_eps``, or without.
        eps: of the norms of the weights.
        report: gets that it was taken.

    Raises:
        NotLikeError: if another one was given.
    """
    if not hasattr(module, "take_norm_eps") or eps == module.norm_eps:
        return
    try:
        module.take_norm_eps(eps)
    except ValueError as error:
        raise NotLikeError(f"{report.source}: {error}") from error
    report.notes.append(f"norms have eps={eps:g} as there")


def _last_norm(state: dict[str, Tensor], report: LoadReport) -> None:
    """Takes the norm of the last level for the one norm of a network, in place."""
    numbers = (number_behind("norms_block.", name) for name in state)
    levels = sorted({number for number in numbers if number is not None})
    for level in levels:
        for name in ("weight", "bias"):
            value = state.pop(f"norms_block.{level}.{name}", None)
            if value is not None and level == levels[-1]:
                state[f"norm.{name}"] = value
            elif value is not None:
                report.skipped[f"norms_block.{level}.{name}"] = "levels below the last have no use in this network"


def _fit(name: str, table: Tensor, own: Tensor, reference: Reference, network: Any, report: LoadReport) -> Tensor:
    here = tuple(network.grid_size)
    there = _said_grid(reference, table.shape[1]) or here
    if math.prod(there) != table.shape[1]:
        there = grid_of_table(table.shape[1], _frames(table.shape[1], here), report.source)
    images = len(here) == 2
    order, uniform = ("wh" if reference.family == "ijepa" else "hw") if images else None, not images
    width = table.shape[-1]
    return fit_table(
        name,
        table,
        own,
        (there, here),
        lambda grid: sincos_pos_embed(width, grid, order=order, uniform=uniform),
        report,
    )


def _said_grid(reference: Reference, tokens: int) -> tuple[int, int] | None:
    """The grid of images of the size that a file says; None where it says none, or has a table for another one."""
    patches = next((state[PATCHES] for state in reference.networks.values() if PATCHES in state), None)
    size = reference.image_size
    if patches is None or patches.ndim != 4 or not patches.numel() or size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    grid = height // patches.shape[-1], width // patches.shape[-1]
    return grid if math.prod(grid) == tokens else None


def _frames(tokens: int, here: tuple[int, ...]) -> int | None:
    """Tubelets of a table of another size: those of the network, or as many as its rows and columns leave."""
    if len(here) == 2:
        return None
    side, space = math.isqrt(tokens // here[0]), math.prod(here[1:])
    if here[0] * side**2 != tokens and tokens % space == 0:
        return tokens // space
    return here[0]


def _few(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
