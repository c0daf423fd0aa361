import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.utils.data import DataLoader

from jepa_lightning import VJEPA
from jepa_lightning.callbacks import NeighborPictures
from jepa_lightning.callbacks.pictures.colors import RIGHT, WRONG
from jepa_lightning.data import PhysicsVideoDataModule


def told(recwarn):
    return [str(each.message) for each in recwarn if "NeighborPictures" in str(each.message)]


class Level(LightningModule):
    """Its features are cosine and sine of twice the brightness, so that images of like brightness are near."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Linear(1, 1)
        self.backbone = self.Angle()

    class Angle(nn.Module):
        def forward(self, x):
            angle = 2 * x.mean((1, 2, 3))
            return torch.stack([angle.cos(), angle.sin()], 1)

    def training_step(self, batch, batch_idx):
        return self.weight(torch.ones(1)).sum()

    def validation_step(self, batch, batch_idx): ...

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def levels(values, labels):
    images = torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    samples = [image if label is None else (image, label) for image, label in zip(images, labels, strict=True)]
    return DataLoader(samples, 4)


def draw(trainer, train, val, **options):
    callback = NeighborPictures(features="backbone", **options)
    trainer = trainer(callbacks=[callback], max_steps=1)
    trainer.fit(Level(), train, val)
    return trainer


def inner(sheet, row):
    """The middle of the only panel in a row, inside of its frame, and the color of its frame."""
    left = int(np.nonzero((sheet[12 + 26 + 48] == round(255 * 0.42)).all(-1))[0][0])
    top = 12 + 26 + row * 104
    return int(sheet[top + 48, left + 48, 0]), tuple(sheet[top + 1, left + 48])


def test_the_nearest_are_below_each_query_with_frames_of_their_labels(quiet_trainer, pixels):
    values = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    train, val = levels(values, [0, 0, 1, 1, 2, 2]), levels([0.42], [1])
    draw(quiet_trainer, train, val, k=3)
    sheet = pixels("step_000000/neighbors.png")
    center = torch.tensor([[2 * value] for value in values])
    bank = torch.cat([center.cos(), center.sin()], 1)
    query = torch.tensor([[0.84]])
    query = torch.cat([query.cos(), query.sin()], 1)
    cosine = nn.functional.cosine_similarity(query - bank.mean(0), bank - bank.mean(0))
    order = cosine.argsort(descending=True)[:3].tolist()
    assert order[0] == 2
    assert inner(sheet, 0)[0] == round(255 * 0.42)
    for place, index in enumerate(order):
        assert inner(sheet, 1 + place) == (round(255 * values[index]), RIGHT if index in (2, 3) else WRONG)


@pytest.mark.parametrize("labels", [[None] * 6, [-1] * 6, [0.5] * 6])
def test_samples_without_classes_have_no_frames(quiet_trainer, pixels, labels):
    draw(quiet_trainer, levels([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], labels), levels([0.42, 0.6], labels[:2]))
    sheet = pixels("step_000000/neighbors.png")
    assert not any((sheet == color).all(-1).any() for color in (RIGHT, WRONG))


def test_a_single_class_is_drawn_and_more_neighbors_than_images_are_not(quiet_trainer, pixels):
    draw(quiet_trainer, levels([0.0, 0.5], [0, 0]), levels([0.1], [0]), k=9)
    sheet = pixels("step_000000/neighbors.png")
    assert sheet.shape[0] == 12 + 26 + 3 * 104 - 8 + 12
    below_the_legend = sheet[12 + 26 :]
    assert not (below_the_legend == WRONG).all(-1).any()
    assert (below_the_legend == RIGHT).all(-1).any()


def test_the_bank_is_a_fixed_draw_of_training_images(fit, shapes, pixels):
    fit(NeighborPictures(1, num_images=3, max_samples=20, k=2), max_steps=1)
    first = pixels("step_000000/neighbors.png")
    assert first.shape == (12 + 26 + 3 * 104 - 8 + 12, pixels("step_000001/neighbors.png").shape[1], 3)


def test_label_chooses_what_frames_are_about(fit, pixels):
    for_shape, for_color = NeighborPictures(), NeighborPictures(label="color", name="by_color")
    fit(for_shape, for_color, max_steps=1)
    one, other = (pixels(f"step_000000/{name}.png") for name in ("neighbors", "by_color"))
    greens = [(sheet == RIGHT).all(-1).sum() for sheet in (one, other)]
    # random weights tell colors
    assert greens[1] > greens[0]


def test_a_label_that_there_is_not_is_one_line(fit, recwarn):
    assert fit(NeighborPictures(label="colour"), max_steps=1).global_step == 1
    (line,) = told(recwarn)
    assert line.startswith("NeighborPictures: there is no label 'colour' of classes; the labels of classes are shape, ")


def test_clips_are_strips(quiet_trainer, pixels):
    module = VJEPA(
        "vit_tiny", 32, 8, num_frames=4, width=48, depth=1, heads=3, predictor_depth=1, predictor_dim=24, frame_step=1,
        num_blocks=[], spatial_scale=[], causal_frames=[1, 1],
    )  # fmt: skip
    data = PhysicsVideoDataModule(num_train=8, num_val=5, num_frames=4, image_size=32, batch_size=4, num_workers=0)
    quiet_trainer(callbacks=[NeighborPictures(k=1)], max_steps=1).fit(module, datamodule=data)
    sheet = pixels("step_000000/neighbors.png")
    # four clips of four panels, two in a line
    assert sheet.shape[0] == 12 + 26 + 2 * (2 * 104 + 8) - 16 + 12
    assert np.ptp(sheet) == 255


def test_features_that_are_not_finite_are_one_line(quiet_trainer, recwarn):
    trainer = draw(quiet_trainer, levels([0.1, float("nan"), 0.3, 0.4], [0] * 4), levels([0.1], [0]))
    assert trainer.global_step == 1
    (line,) = told(recwarn)
    assert line.startswith("NeighborPictures: the features are not finite")


def test_a_step_that_gives_no_features_is_one_line(quiet_trainer, recwarn, plain):
    trainer = quiet_trainer(callbacks=[NeighborPictures()], max_steps=1)
    trainer.fit(plain.Plain(), *plain.loaders())
    assert trainer.global_step == 1
    (line,) = told(recwarn)
    assert line.startswith("NeighborPictures on Plain: the step returns no 'features', and none are named")
