import pytest
import torch

from jepa_lightning import IJEPA, MAE, VJEPA, SimCLR
from jepa_lightning.callbacks import EnergyMap
from jepa_lightning.callbacks.pictures.colors import HEAT
from jepa_lightning.data import PhysicsVideoDataModule


def told(recwarn):
    return [str(each.message) for each in recwarn if "EnergyMap" in str(each.message)]


class Odd(IJEPA):
    """Its target is far from every prediction at one token."""

    far = 100.0

    def target_tokens(self, layers):
        tokens = super().target_tokens(layers).clone()
        tokens[:, 6] += self.far
        return tokens


def test_the_token_that_is_unexpected_is_bright(fit, tiny_ijepa, pixels):
    fit(EnergyMap(), module=tiny_ijepa(Odd), max_steps=1)
    sheet = pixels("step_000000/energy_map.png")[-12 - 96 : -12, -12 - 96 : -12]
    # row 1, column 2 of 4 x 4 tokens of 24 pixels
    assert {tuple(color) for color in sheet[24:48, 48:72].reshape(-1, 3)} == {HEAT[-1]}
    others = sheet.copy()
    others[24:48, 48:72] = 0
    assert others.max() < 120


def test_maps_of_clips_are_strips_of_as_many_panels(quiet_trainer, pixels, pictures):
    module = VJEPA(
        "vit_tiny", 32, 8, num_frames=4, width=48, depth=1, heads=3, predictor_depth=1, predictor_dim=24, frame_step=1,
        num_blocks=[], spatial_scale=[], causal_frames=[1, 1],
    )  # fmt: skip
    data = PhysicsVideoDataModule(num_train=8, num_val=4, num_frames=4, image_size=32, batch_size=4, num_workers=0)
    quiet_trainer(callbacks=[EnergyMap()], max_steps=1).fit(module, datamodule=data)
    assert pictures() == ["step_000000/energy_map.png", "step_000001/energy_map.png"]
    # four clips of two panels in one line
    assert pixels("step_000000/energy_map.png").shape[1] > 4 * (2 * 96 + 2) + 3 * 8


def test_masked_autoencoders_have_a_map_too(fit, pictures):
    module = MAE("vit_tiny", 32, 8, width=48, depth=1, heads=3, decoder_depth=1, decoder_dim=24, decoder_heads=3)
    fit(EnergyMap(), module=module, max_steps=1)
    assert pictures() == ["step_000000/energy_map.png", "step_000001/energy_map.png"]


def test_energies_that_are_not_finite_are_one_line(fit, tiny_ijepa, recwarn):
    module = tiny_ijepa(Odd)
    module.far = torch.nan

    class Finite(EnergyMap):
        def on_train_batch_start(self, trainer, pl_module, *args):
            super().on_train_batch_start(trainer, pl_module, *args)
            pl_module.far = 0.0  # or the loss stops the run

    assert fit(Finite(1), module=module).global_step == 2
    (line,) = [str(each.message) for each in recwarn if "Finite" in str(each.message)]
    assert line == (
        "Finite: the energies are not finite: lower the learning rate, or look at the data. It draws nothing from here "
        "on."
    )


def test_a_method_that_compares_views_is_one_line(fit, recwarn, pictures):
    module = SimCLR("vit_tiny", image_size=32, width=48, depth=1, heads=3, patch_size=8)
    assert fit(EnergyMap(), module=module, max_steps=1).global_step == 1
    (line,) = told(recwarn)
    assert line.startswith("EnergyMap: SimCLR compares whole views, so there is no energy of each token: ")
    assert pictures() == []


def test_a_module_without_energy_is_one_line(quiet_trainer, recwarn, plain):
    trainer = quiet_trainer(callbacks=[EnergyMap()], max_steps=1)
    trainer.fit(plain.Plain(), *plain.loaders())
    assert trainer.global_step == 1
    assert told(recwarn) == [
        "EnergyMap: Plain has no energy, as a JEPAModule has: leave the callback out. It draws nothing from here on."
    ]


@pytest.mark.parametrize("precision", ["bf16-mixed"])
def test_other_precisions_are_drawn(fit, pictures, precision):
    fit(EnergyMap(), max_steps=1, precision=precision)
    assert pictures() == ["step_000000/energy_map.png", "step_000001/energy_map.png"]
