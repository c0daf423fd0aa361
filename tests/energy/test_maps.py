from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning import JEPAModule
from jepa_lightning.energy import energy_map, token_grid
from jepa_lightning.masking import covering_masks
from jepa_lightning.types import Batch, Masks

Build = Callable[..., Any]


@torch.no_grad()
def slow_map(module: Any, views: list[Tensor]) -> Tensor:
    """Image by image and token by token: the mean over masks and kinds of the distance of a single target token."""
    samplers = module.pipeline().collate.masks
    covers = [covering_masks(sampler) for sampler in samplers]
    rows = []
    for first, last in zip(views[0], views[-1], strict=True):
        found: dict[int, list[float]] = {}
        for step in range(max(map(len, covers))):
            masks = tuple(cover[step % len(cover)] for cover in covers)
            context, target = module.sides(Batch([first[None], last[None]], masks))
            for predicted, kind in zip(context, masks, strict=False):
                for block, indices in enumerate(kind.target[0].tolist()):
                    for place, index in enumerate(indices):
                        pair = predicted[:, [block], [place]][:, None], target[:, None, [index]]
                        found.setdefault(index, []).append(float(module.distance(*pair)))
        rows.append([sum(found[index]) / len(found[index]) for index in range(len(found))])
    return torch.tensor(rows)


def test_maps_are_those_of_each_token_alone(masked_method: Build, batch_of: Build) -> None:
    module: JEPAModule = masked_method().eval()
    batch = batch_of(module, size=2)
    view = batch.views[0]
    with torch.no_grad():
        assert torch.allclose(energy_map(module, view), slow_map(module, [view]), atol=1e-5)
        other = [view, view.roll(1, 0)]
        foreign = energy_map(module, Batch(other, batch.masks))
        assert torch.allclose(foreign, slow_map(module, other), atol=1e-5)
    assert foreign.shape == (2, torch.tensor(token_grid(module)).prod())
    assert not torch.allclose(foreign, energy_map(module, view))


def test_a_module_in_training_is_left_as_it_is(method: Build, batch_of: Build) -> None:
    module = method("I-JEPA", drop_path=0.5)
    view = batch_of(module).views[0]
    state = torch.get_rng_state()
    first, second = energy_map(module, view), energy_map(module, view)
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert torch.equal(state, torch.get_rng_state())
    assert module.training
    assert all(layer.training for layer in module.context_encoder.modules())


def test_a_token_that_is_unlike_its_surroundings_stands_out(method: Build) -> None:
    """The predictor is replaced by one that expects the mean of the context."""

    class Mean(torch.nn.Module):
        def forward(self, context: Tensor, seen: Tensor, target: Tensor, mask_index: int = 0) -> Tensor:
            return context.mean(1)[:, None, None].expand(-1, *target.shape[1:], -1)

    class Zeros(torch.nn.Module):
        grid_size, width = (4, 4), 192

        def forward(self, view: Tensor, keep: Tensor | None = None) -> Tensor:
            return torch.zeros(len(view), 16 if keep is None else keep.shape[1], self.width)

    module = method("MAE", normalize_pixels=False).eval()
    module.decoder, module.encoder = Mean(), Zeros()
    image = torch.zeros(1, 3, 32, 32)
    image[:, :, 8:16, 16:24] = 3.0
    energies = energy_map(module, image).reshape(4, 4)
    assert energies[1, 2] == 9.0
    assert energies.sum() == 9.0


@pytest.mark.parametrize("name", ["SimCLR", "DINO", "LeJEPA"])
def test_methods_that_compare_whole_views_have_none(method: Build, batch_of: Build, name: str) -> None:
    module = method(name)
    for look in (lambda: energy_map(module, torch.zeros(1, 3, 32, 32)), lambda: token_grid(module)):
        with pytest.raises(ValueError, match=rf"^{name} compares whole views, so .* use pairwise_energy"):
            look()


def test_an_energy_alone_has_none(method: Build) -> None:
    module = method("I-JEPA")

    class Own(type(module)):  # type: ignore[misc]
        def energy(self, batch: Batch) -> Tensor:
            return super().energy(batch)

    module.__class__ = Own
    with pytest.raises(ValueError, match="Own defines energy without sides and distance"):
        energy_map(module, torch.zeros(1, 3, 32, 32))


def test_a_mask_of_the_users_own_says_how_it_covers(method: Build) -> None:
    module = method("MAE").eval()
    image = torch.rand(1, 3, 32, 32)

    class Halves:
        def __call__(self, batch_size: int, generator: Any = None, sizes: Any = None) -> Masks:
            return self.cover()[0]

        def cover(self) -> list[Masks]:
            half = torch.arange(16).reshape(2, 1, 8)
            return [Masks(half[1], half[:1]), Masks(half[0], half[1:])]

    module.masks = Halves()
    assert torch.allclose(energy_map(module, image), slow_map(module, [image]), atol=1e-5)


def test_what_has_no_tokens_is_refused(masked_method: Build, batch_of: Build) -> None:
    module = masked_method()
    view = batch_of(module).views[0]
    with pytest.raises(ValueError, match="one sample or more, got none"):
        energy_map(module, view[:0])
    larger = view.repeat_interleave(2, -1).repeat_interleave(2, -2)
    with pytest.raises(ValueError, match=r"grid_size|image_size"):  # tokens would be taken for others
        energy_map(module, larger)
    for look in (token_grid, lambda plain: energy_map(plain, view)):
        with pytest.raises(ValueError, match="Linear has no energy of tokens: it is no JEPAModule"):
            look(torch.nn.Linear(2, 2))
