from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from jepa_lightning import IJEPA
from jepa_lightning.energy import blind_energy
from jepa_lightning.types import Batch

Build = Callable[..., Any]


class OwnEnergy(IJEPA):
    """A subclass that says only what its energy is."""

    def energy(self, batch: Batch) -> torch.Tensor:
        return super().energy(batch) + 1


def test_it_is_the_error_of_the_mean_of_the_target_tokens(tiny_ijepa: Build, batch_of: Build) -> None:
    module = tiny_ijepa(distance="l2").eval()
    batch = batch_of(module)
    (masks,) = batch.masks
    with torch.no_grad():
        found = blind_energy(module, batch)
        tokens = module.target_tokens(module.encode_target(batch.views[-1]))
    each = [tokens[i, masks.target[i].flatten()] for i in range(len(tokens))]
    mean = torch.cat(each).mean(dim=0)
    expected = torch.stack([F.mse_loss(mean.expand_as(target), target) for target in each])
    torch.testing.assert_close(found, expected)
    # under squared distances no other constant is better
    for step in 0.1 * torch.randn(5, len(mean), generator=torch.Generator().manual_seed(0)):
        other = torch.stack([F.mse_loss((mean + step).expand_as(target), target) for target in each])
        assert other.mean() > found.mean()


def test_every_method_has_one_that_only_the_targets_decide(every_method: Build, batch_of: Build) -> None:
    module = every_method().eval()
    batch = batch_of(module)
    with torch.no_grad():
        found = blind_energy(module, batch)
        views = [torch.rand_like(batch.views[0]), *batch.views[1:-1], batch.views[-1]]
        again = blind_energy(module, batch._replace(views=views))
        assert found.shape == (len(batch.views[0]),)
        assert found.isfinite().all()
        torch.testing.assert_close(found, again)
        stills = [view[:1, :, :1] if view.ndim == 5 else view[:1] for view in batch.views]
        same = batch._replace(views=[still.expand_as(view) for still, view in zip(stills, batch.views, strict=True)])
        if not batch.masks:  # one and the same target for all: its mean is the target
            targets = module.sides(same).target
            torch.testing.assert_close(blind_energy(module, same), module.distance(targets, targets))


def test_a_module_with_an_energy_of_its_own_is_refused(tiny_ijepa: Build, batch_of: Build) -> None:
    module = tiny_ijepa(OwnEnergy)
    with pytest.raises(ValueError, match="OwnEnergy defines energy without sides"):
        blind_energy(module, batch_of(module))
