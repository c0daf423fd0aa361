# B batch, K shown samples, C channels, T frames, H W height and width, N tokens, t h w the token grid, P panels
"""Samples that pictures show: which ones, their colors, and where their tokens lie."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from jepa_lightning.callbacks.pictures.colors import red_over_dark
from jepa_lightning.callbacks.probes.draws import drawn
from jepa_lightning.callbacks.probes.loaders import on_device
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.types import Batch

PANELS = 8  # of a clip, spread over its time


class Shown(NamedTuple):
    """Some samples, on the module's device.

    Attributes:
        view: ``[K, C, H, W]`` or ``[K, C, T, H, W]``, as the module takes it.
        batch: what they came in, which sources ask for.
    """

    view: Tensor
    batch: Any


def read_shown(
    trainer: Trainer, module: LightningModule, source: Source, loader: Iterable[Any], size: int
) -> Iterator[Shown]:
    """A fixed draw of the samples of a loader, batch by batch, and of each its first view.

    Args:
        trainer: knows devices and precision.
        module: that is shown.
        source: where images are in a batch.
        loader: of any kind.
        size: samples, or as many as there are.

    Raises:
        ValueError: if the batches hold no images.
    """
    for batch in drawn(source.owner, loader, size):
        moved, views = on_device(trainer, module, source, batch)
        if views[0].ndim not in (4, 5):
            raise ValueError(
                f"the batches hold no images [B, C, H, W] and no clips [B, C, T, H, W] but {list(views[0].shape)}"
            )
        view = views[0][:size]
        yield Shown(view, moved)
        size -= len(view)
        if size <= 0:
            return


def first_shown(trainer: Trainer, module: LightningModule, source: Source, loader: Iterable[Any], size: int) -> Shown:
    """The same samples in one piece.

    Raises:
        ValueError: if there is none, or no images.
    """
    parts = list(read_shown(trainer, module, source, loader, size))
    if not parts:
        raise ValueError("the validation loader gives no sample")
    batch = parts[0].batch
    return Shown(torch.cat([part.view for part in parts]), Batch([]) if isinstance(batch, Batch) else batch)


def colors_of(module: LightningModule, view: Tensor) -> Tensor:
    """Views as they look: uint8 ``[K, 3, (T,) H, W]``.

    Of more channels than 3 the first three; one is gray; of two the first is red over the second, which is dark.
    """
    values = restored(module, view)
    if values.shape[1] == 2:
        return red_over_dark(values, axis=1)
    return values[:, :3] if values.shape[1] >= 3 else values[:, :1].expand(-1, 3, *values.shape[2:])


def restored(module: LightningModule, view: Tensor) -> Tensor:
    """Views as they were before they were normalized: uint8 ``[K, C, (T,) H, W]`` on the CPU.

    With the module's ``mean`` and ``std``; without these, values outside of 0 to 1 are stretched to that range.
    """
    values = view.float().cpu()
    mean, std = getattr(module, "mean", None), getattr(module, "std", None)
    channels = values.shape[1]
    if _are_statistics(mean, channels) and _are_statistics(std, channels):
        axes = (1, channels, *(1 for _ in values.shape[2:]))
        values = values * torch.tensor(std).view(axes) + torch.tensor(mean).view(axes)
    elif values.min() < 0 or values.max() > 1:
        low, high = values.min(), values.max()
        values = (values - low) / (high - low).clamp_min(torch.finfo(values.dtype).tiny)
    return (255 * values.clamp(0, 1)).round().to(torch.uint8)


def _are_statistics(values: Any, channels: int) -> bool:
    return isinstance(values, (tuple, list)) and len(values) == channels


def grid_of(
    module: LightningModule, view: Tensor, number: int | None = None, network: Any = None
) -> tuple[int, int, int]:
    """Token grid (t, h, w) of a view; t is 1 for images.

    Args:
        module: whose ``grid_size``, or that of its evaluation encoder, counts.
        view: ``[K, C, H, W]`` or ``[K, C, T, H, W]``.
        number: of tokens, N; None where only the module knows it.
        network: another one, which gives the tokens.

    Raises:
        ValueError: if N tokens fill no grid that is known, and none of the shape of the images.
    """
    for owner in (network, module, getattr(module, "eval_encoder", None)):
        size = getattr(owner, "grid_size", None)
        if isinstance(size, (tuple, list)) and number in (None, math.prod(size)):
            return (1, 1, *size)[-3:]
    height, width = view.shape[-2:]
    if number is not None and view.ndim == 4:
        rows = max(1, round(math.sqrt(number * height / width)))
        if number % rows == 0:
            return 1, rows, number // rows
    tokens = "the tokens" if number is None else f"{number} tokens"
    raise ValueError(
        f"nothing says how {tokens} of {type(module).__name__} fill a view of {'x'.join(map(str, view.shape[2:]))}: "
        "give the network an attribute grid_size, or leave the callback out"
    )


def panels_of(colors: Tensor, times: int) -> Tensor:
    """Images, or frames of clips, to show: ``[K, P, 3, H, W]``.

    Args:
        colors: uint8 ``[K, 3, (T,) H, W]``.
        times: t, steps of time of the token grid. Of each one its first frame is shown, and at most 8 of them.
    """
    if colors.ndim == 4:
        return colors.unsqueeze(1)
    return colors[:, :, _times(times) * colors.shape[2] // times].transpose(1, 2)


def token_panels(values: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Values of tokens ``[K, N, ...]`` for the same panels: ``[K, P, ..., h, w]``."""
    placed: Tensor = values.reshape(len(values), *grid, *values.shape[2:])[:, _times(grid[0])]
    return placed.movedim((2, 3), (-2, -1))


def _times(times: int) -> Tensor:
    """The steps of time that are shown."""
    number = min(times, PANELS)
    return torch.arange(number) * times // number
