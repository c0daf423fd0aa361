import numpy as np
import pytest
import torch

from jepa_lightning import DINO, SimCLR
from jepa_lightning.callbacks import EnergyHistogram
from jepa_lightning.callbacks.pictures import plots
from jepa_lightning.callbacks.pictures.energy_histogram import paired
from jepa_lightning.energy import auroc


def told(recwarn):
    return [str(each.message) for each in recwarn if "EnergyHistogram" in str(each.message)]


def test_energies_are_those_of_the_module_and_the_same_at_each_step(fit, tiny_ijepa):
    found = []

    class Keeps(EnergyHistogram):
        def draw(self, energies, step):
            found.append(energies)
            return super().draw(energies, step)

    module = tiny_ijepa(lr=1e-9, start_lr=1e-9, final_lr=0.0)
    fit(keeps := Keeps(1, num_images=6, name="kept"), module=module)
    assert keeps.every_n_steps == 1
    assert [(len(each.true), len(each.foreign)) for each in found] == [(6, 30)] * 3
    torch.testing.assert_close(found[0].true, found[-1].true, rtol=1e-4, atol=1e-6)
    assert auroc(*found[0]) == pytest.approx(auroc(*found[-1]), abs=0.02)


def test_pairs_of_methods_with_masks_are_of_the_same_view(tiny_ijepa):
    module, view = tiny_ijepa().eval(), torch.rand(4, 3, 32, 32)
    batch = paired(module, view)
    assert [torch.equal(each, view) for each in batch.views] == [True]
    assert torch.equal(batch.masks[0].target, paired(module, view).masks[0].target)


@pytest.mark.parametrize("method", [SimCLR, DINO])
def test_pairs_of_other_methods_are_two_augmented_views(method):
    module = method("vit_tiny", image_size=32, width=48, depth=1, heads=3, patch_size=8)
    batch = paired(module, torch.randn(3, 3, 32, 32))
    assert [tuple(view.shape) for view in batch.views] == [(3, 3, 32, 32)] * 2
    assert not torch.equal(*batch.views)
    assert module.energy(batch).shape == (3,)


def test_it_is_drawn(fit, pictures, pixels):
    fit(EnergyHistogram(), max_steps=1)
    assert pictures() == ["step_000000/energy_histogram.png", "step_000001/energy_histogram.png"]
    sheet = pixels("step_000001/energy_histogram.png")
    assert sheet.shape == (396, 704, 3)
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 20


def test_a_single_sample_is_one_line(fit, shapes, recwarn):
    assert fit(EnergyHistogram(), data=shapes(num_train=32, num_val=1), max_steps=1).global_step == 1
    (line,) = told(recwarn)
    assert line.startswith("EnergyHistogram: energies of all pairs are [B, B] with B of 2 or more")


def test_without_matplotlib_it_says_so_at_once_and_does_nothing(fit, recwarn, pictures, monkeypatch):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    assert fit(EnergyHistogram(), max_steps=1).global_step == 1
    assert told(recwarn) == [
        "EnergyHistogram: it needs matplotlib, which is not installed: pip install '.[examples]'. It draws nothing "
        "from here on."
    ]
    assert pictures() == []
