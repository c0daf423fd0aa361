# B samples
"""Whether the energy tells the target of an image from that of another one."""

from typing import Annotated, Any, NamedTuple

import torch
from lightning.pytorch import Trainer
from PIL import Image
from torch import Tensor

from jepa_lightning.callbacks.pictures.base import Picture, evaluating
from jepa_lightning.callbacks.pictures.energy_map import require_energy
from jepa_lightning.callbacks.pictures.plots import as_image, missing_matplotlib, new_figure
from jepa_lightning.callbacks.pictures.shown import restored
from jepa_lightning.energy import auroc, pairwise_energy, true_and_foreign
from jepa_lightning.options import Interval, PositiveInt, check_options
from jepa_lightning.types import Batch, Masks

BINS = 24
TRUE, FOREIGN = "#0072b2", "#d55e00"


class _Found(NamedTuple):
    true: Tensor  # [B]
    foreign: Tensor  # [B * (B - 1)]


class EnergyHistogram(Picture):
    """Draws how energies of true pairs and of foreign pairs are spread, with the AUROC of the one against the other.

    A true pair is the context and the target of one validation sample, a foreign one those of two. Methods with masks
    see the view of validation, under masks that are the same at every step; the others two augmented views, of methods
    with several crops the first two. Needs matplotlib, from the extra ``examples``, and a ``JEPAModule``.

    Args:
        every_n_steps: optimizer steps between pictures; None draws before the first step and after each quarter of the
            run, or every 1,000 steps where its length is not known. The end of the run is drawn in any case.
        num_images: validation samples, of which all pairs are compared, or as many as there are.
        name: of the files; two of these need two names.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import EnergyHistogram
        >>> trainer = Trainer(callbacks=[EnergyHistogram(num_images=32)])
    """

    name = "energy_histogram"

    def __init__(
        self,
        every_n_steps: PositiveInt | None = None,
        num_images: Annotated[int, Interval("[2, 1e9]")] = 64,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(every_n_steps, num_images, name)

    def missing(self) -> str | None:
        """Matplotlib."""
        return missing_matplotlib()

    def measure(self, trainer: Trainer, module: Any) -> _Found:
        """Energies of all pairs."""
        require_energy(module)
        batch = paired(module, self.shown(trainer, module).view)
        with evaluating(trainer, module):
            energies = pairwise_energy(module, batch).float().cpu()
        if not energies.isfinite().all():
            raise ValueError("the energies are not finite: lower the learning rate, or look at the data")
        return _Found(*true_and_foreign(energies))

    def draw(self, found: _Found, step: int) -> Image.Image:
        """Two histograms."""
        figure, axes = new_figure(6.4, 3.6)
        both = torch.cat(found)
        bins = torch.linspace(float(both.min()), max(float(both.max()), float(both.min()) + 1e-6), BINS + 1).tolist()
        for energies, name, color in ((found.true, "true pairs", TRUE), (found.foreign, "foreign pairs", FOREIGN)):
            shares = torch.full((len(energies),), 1 / len(energies)).tolist()
            axes.hist(energies.tolist(), bins, weights=shares, color=color, alpha=0.6, label=f"{len(energies)} {name}")
        axes.set(xlabel="energy", ylabel="share of pairs")
        title = f"AUROC {auroc(*found):.3f}: how often a foreign pair has the higher energy (step {step})"
        axes.set_title(title, fontsize="medium")
        axes.legend(frameon=False)
        return as_image(figure)


def paired(module: Any, view: Tensor) -> Batch:
    """A batch of contexts and targets, on the device of a view. The caller isolates the generator.

    Args:
        module: a ``JEPAModule``.
        view: the first view of validation, ``[B, C, H, W]`` or ``[B, C, T, H, W]``.
    """
    torch.default_generator.manual_seed(0)
    pipeline = module.pipeline()
    masked = bool(pipeline.collate.masks)
    samples = list(view.cpu()) if masked else [pipeline.transform(image) for image in restored(module, view)]
    batch = pipeline.collate(samples)
    masks = tuple(Masks(each.context.to(view.device), each.target.to(view.device)) for each in batch.masks)
    return Batch([each.to(view.device, view.dtype) for each in batch.views[:2]], masks)
