import random

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from torch.utils.data import DataLoader

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import TokenPCA
from jepa_lightning.callbacks.pictures.base import Picture


class Means(Picture):
    """A picture in the mean color of what is shown; notes what it was asked for."""

    name = "means"

    def __init__(self, every_n_steps=None, num_images=None, name=None, fails_at=None):
        super().__init__(every_n_steps, num_images, name)
        self.steps, self.views, self.fails_at = [], [], fails_at

    def measure(self, trainer, module):
        torch.rand(1), np.random.rand(), random.random()  # noqa: NPY002
        self.steps.append(trainer.global_step)
        self.views.append(self.shown(trainer, module).view)
        if trainer.global_step == self.fails_at:
            raise RuntimeError("two lines\n  of a fault.")
        return self.views[-1].mean()

    def draw(self, found, step):
        return Image.new("RGB", (8, 8), "red")


def drawings(recwarn, owner="Means"):
    return [str(each.message) for each in recwarn if str(each.message).startswith(owner)]


def test_it_draws_first_after_each_quarter_and_last(fit, pictures):
    means = Means()
    fit(means, max_steps=10, max_epochs=-1)
    assert means.steps == [0, 3, 6, 9, 10]
    assert pictures() == [f"step_{step:06d}/means.png" for step in means.steps]


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"max_steps": 6}, [0, 4, 6]),
        ({"max_steps": 8, "accumulate_grad_batches": 2}, [0, 4, 8]),
        ({"max_steps": -1, "max_epochs": 3, "val_check_interval": 1}, [0, 4, 6]),
    ],
)
def test_it_draws_every_few_optimizer_steps(fit, options, steps):
    means = Means(4)
    fit(means, **{"max_epochs": -1, **options})
    assert means.steps == steps


class Endless(IJEPA):
    """Needs no length for its schedule."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def test_a_run_of_unknown_length_is_drawn_first_and_last(fit, tiny_ijepa):
    means = Means()
    fit(means, module=tiny_ijepa(Endless, ema=(0.99, 0.99)), max_steps=-1, max_epochs=-1, max_time={"seconds": 0.2})
    assert means.steps[0] == 0
    assert len(means.steps) == 2


def test_the_samples_are_a_fixed_draw_of_the_validation_set(fit):
    means, again = Means(1, num_images=5), Means(1, num_images=5, name="again")
    fit(means, again)
    assert means.views[0].shape == (5, 3, 32, 32)
    assert all(torch.equal(means.views[0], view) for view in (*means.views, *again.views))


@pytest.mark.parametrize(("options", "number"), [({"num_images": 100}, 16), ({}, 8), ({"num_images": 1}, 1)])
def test_as_many_are_shown_as_there_are(fit, options, number):
    means = Means(**options)
    fit(means)
    assert len(means.views[0]) == number


def test_a_validation_set_of_one_is_shown(fit, shapes):
    means = Means()
    fit(means, data=shapes(num_train=32, num_val=1))
    assert len(means.views[0]) == 1


def test_a_fault_is_one_warning_and_training_does_not_stop(fit, recwarn, pictures):
    means, other = Means(1, fails_at=2), Means(1, name="other")
    assert fit(means, other, max_steps=4, max_epochs=-1).global_step == 4
    assert means.steps == [0, 1, 2]
    assert other.steps == [0, 1, 2, 3, 4]
    assert drawings(recwarn) == ["Means: at step 2, RuntimeError: two lines of a fault. It draws nothing from here on."]
    assert "step_000002/means.png" not in pictures()


def test_the_next_fit_draws_again(fit, tmp_path):
    means = Means(1, fails_at=0)
    fit(means)
    means.fails_at = None
    fit(means, default_root_dir=tmp_path / "second")
    assert means.steps == [0, 0, 1, 2]


class Draws(Callback):
    """Notes the next numbers of the generators before each step."""

    def __init__(self):
        self.numbers = []

    def on_train_batch_start(self, *_):
        self.numbers.append((torch.rand(1).item(), np.random.rand(), random.random()))  # noqa: NPY002


def test_generators_are_where_they_were(fit):
    runs = []
    for means in ([Means(1)], []):
        seed_everything(0, verbose=False)
        fit(*means, draws := Draws())
        runs.append(draws.numbers)
    assert runs[0] == runs[1]
    assert len(runs[0]) == 2


def test_data_without_validation_is_one_line(quiet_trainer, tiny_ijepa, recwarn):
    module, means = tiny_ijepa(), Means()
    trainer = quiet_trainer(callbacks=[means], max_steps=2)
    images = torch.rand(16, 3, 32, 32)
    trainer.fit(module, DataLoader(images, 8, collate_fn=module.pipeline().collate))
    assert trainer.global_step == 2
    assert means.steps == [0]
    assert drawings(recwarn) == [
        "Means needs validation samples, and this fit has none: give the Trainer a validation loader and the module a "
        "validation_step, or leave the callback out. It draws nothing from here on."
    ]


def test_features_without_images_are_one_line(echo, table, clusters, quiet_trainer, recwarn):
    data = table(clusters(32), clusters(16), 3, batch_size=8)
    trainer = quiet_trainer(callbacks=[Means()], max_steps=2)
    trainer.fit(echo(), datamodule=data)
    assert trainer.global_step == 2
    assert drawings(recwarn) == [
        "Means: the batches hold no images [B, C, H, W] and no clips [B, C, T, H, W] but [8, 8]. It draws nothing from "
        "here on."
    ]


def test_two_of_one_name_are_refused(fit):
    with pytest.raises(MisconfigurationException, match="Means and TokenPCA both log as 'means'"):
        fit(Means(), TokenPCA(name="means"))


def test_a_trial_run_writes_nothing(fit, pictures):
    means = Means()
    fit(means, fast_dev_run=True)
    assert means.steps == []
    assert pictures() == []


def test_a_resumed_run_draws_where_the_undisturbed_one_does(fit, tmp_path):
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=4, save_top_k=-1, filename="{step}")
    options = {"max_steps": 8, "max_epochs": -1, "enable_checkpointing": True}
    fit(Means(2), keep, **options)
    resumed = Means(2)
    fit(resumed, ckpt_path=tmp_path / "step=4.ckpt", **options, default_root_dir=tmp_path / "resumed")
    assert resumed.steps == [4, 6, 8]
