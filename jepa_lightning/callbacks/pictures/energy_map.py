# K shown samples, N tokens, P panels, H W height and width, t h w the token grid
"""What a method did not expect of an image or a clip, and where."""

from typing import Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor

from jepa_lightning.callbacks.pictures.base import Picture, evaluating
from jepa_lightning.callbacks.pictures.colors import heat
from jepa_lightning.callbacks.pictures.sheet import Row, draw_sheet, enlarge, images_row
from jepa_lightning.callbacks.pictures.shown import colors_of, panels_of, token_panels
from jepa_lightning.energy import energy_map, token_grid
from jepa_lightning.options import PositiveInt, check_options

SHARES = (0.02, 0.98)  # quantiles of the energies that get the ends of the scale


class _Found(NamedTuple):
    panels: Tensor  # uint8 [K, P, 3, H, W]
    energies: Tensor  # [K, N]
    grid: tuple[int, int, int]


class EnergyMap(Picture):
    """Draws the prediction error of each token over images or clips: dark where the method expected what is there.

    Each token is a target that is predicted from tokens around it (``jepa_lightning.energy.energy_map``), with masks
    that are the same at every step. The scale is that of the shown samples together, from their 2nd to their 98th
    percentile, and is written above them: it moves with the targets, so compare places of a picture, not pictures. The
    method must predict masked tokens, as ``IJEPA``, ``VJEPA`` and ``MAE``.

    Args:
        every_n_steps: optimizer steps between pictures; None draws before the first step and after each quarter of the
            run, or every 1,000 steps where its length is not known. The end of the run is drawn in any case.
        num_images: validation samples to show, or as many as there are; None shows 8 images or 4 clips.
        name: of the files; two of these need two names.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import EnergyMap
        >>> trainer = Trainer(callbacks=[EnergyMap(every_n_steps=500)])
    """

    name = "energy_map"

    def __init__(
        self,
        every_n_steps: PositiveInt | None = None,
        num_images: PositiveInt | None = None,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(every_n_steps, num_images, name)

    def measure(self, trainer: Trainer, module: Any) -> _Found:
        """Images, and the energies of their tokens."""
        require_energy(module)
        view = self.shown(trainer, module).view
        with evaluating(trainer, module):
            energies = energy_map(module, view).cpu()
        if not energies.isfinite().all():
            raise ValueError("the energies are not finite: lower the learning rate, or look at the data")
        time, rows, columns = (1, 1, *token_grid(module))[-3:]
        return _Found(panels_of(colors_of(module, view), time), energies, (time, rows, columns))

    def draw(self, found: _Found, step: int) -> Image.Image:
        """Rows of images and of the energies of their tokens."""
        low, high = torch.quantile(found.energies, torch.tensor(SHARES)).tolist()
        shares = (found.energies - low) / max(high - low, torch.finfo(torch.float32).tiny)
        size = (found.panels.shape[-2], found.panels.shape[-1])
        maps = enlarge(token_panels(heat(shares), found.grid), size)
        ends = torch.tensor([0.0, 0.5, 1.0])
        red, green, blue = heat(ends).T.tolist()
        values = (f"{low:.3g}, expected", f"{(low + high) / 2:.3g}", f"{high:.3g}, unexpected")
        legend = [(color, text) for color, text in zip(zip(red, green, blue, strict=True), values, strict=True)]
        return draw_sheet([images_row(found.panels), Row("energy", maps)], f"prediction error (step {step})", legend)


def require_energy(module: Any) -> None:
    """Refuses modules of others.

    Raises:
        ValueError: if a module has no energy.
    """
    if not (hasattr(module, "energy") and hasattr(module, "pipeline")):
        raise ValueError(f"{type(module).__name__} has no energy, as a JEPAModule has: leave the callback out")
